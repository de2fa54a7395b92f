"""Scheduling, labels, limits of a roll-out, and what scales: the manifests that follow from the spec."""

from typing import Any

import pytest
import yaml

from genai_operator.api.workload_spec import RESERVED_EXPLANATION
from genai_operator.builders import build_children
from genai_operator.builders.permitted import permitted
from genai_operator.clients.kube import HORIZONTAL_AUTOSCALER, SCALED_OBJECT, as_yaml
from genai_operator.errors import InvalidModel
from genai_operator.services.resync import listed_of_models, watched
from genai_operator.settings import OperatorSettings
from support.models import make_model

Object = dict[str, Any]
SETTINGS = OperatorSettings(autoscalers=("HPA", "KEDA"), prometheus_address="http://prometheus:9090")
CPU = {"maxReplicas": 4, "cpuUtilizationPercent": 70}


def autoscaler(settings: OperatorSettings = SETTINGS, **spec: Any) -> Object | None:
    return build_children(make_model(**spec), settings).autoscaler


@pytest.mark.parametrize(
    ("name", "allowed", "want"),
    [
        ("kueue.x-k8s.io/queue-name", ("kueue.x-k8s.io/queue-name",), True),
        ("kueue.x-k8s.io/queue-name-2", ("kueue.x-k8s.io/queue-name",), False),
        ("sidecar.istio.io/inject", ("sidecar.istio.io/*",), True),
        ("sidecar.istio.io.evil/inject", ("sidecar.istio.io/*",), False),
        ("OTEL_SERVICE_NAME", ("TZ", "OTEL_*"), True),
        ("anything", ("*",), True),
        ("anything", (), False),
    ],
)
def test_a_name_is_permitted_or_not(name: str, allowed: tuple[str, ...], want: bool) -> None:
    assert permitted(name, allowed) == want


def test_a_label_of_ours_is_nobodys_to_set_whatever_is_permitted() -> None:
    with pytest.raises(InvalidModel, match=RESERVED_EXPLANATION):
        make_model(podLabels={"genai-operator.io/model": "other"})
    with pytest.raises(InvalidModel, match="the operator's own"):
        make_model(env=[{"name": "GENAI_HOST", "value": "::"}])


@pytest.mark.parametrize(
    ("rollout", "replicas", "want"),
    [
        ({}, 3, (1, 0)),
        ({"maxSurge": 2}, 1, (2, 0)),
        ({"maxUnavailable": 2}, 4, (1, 2)),
        ({"maxUnavailable": 4}, 4, (1, 3)),  # one goes on serving
        ({"maxUnavailable": 1}, 1, (1, 0)),
        ({"maxUnavailable": 1}, 0, (1, 0)),
        ({"maxSurge": 0, "maxUnavailable": 1}, 1, (0, 1)),  # there is no room for another way
    ],
)
def test_a_roll_out_leaves_a_pod_that_serves(rollout: Object, replicas: int, want: tuple[int, int]) -> None:
    spec = build_children(make_model(rollout=rollout, replicas=replicas), SETTINGS).deployment["spec"]
    limits = spec["strategy"]["rollingUpdate"]
    assert (limits["maxSurge"], limits["maxUnavailable"]) == want


def test_no_constraint_is_something_else_than_none_said() -> None:
    def pod(**spec: Any) -> Object:
        made: Object = build_children(make_model(**spec), SETTINGS).deployment["spec"]["template"]["spec"]
        return made

    assert pod()["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert "topologySpreadConstraints" not in pod(topologySpreadConstraints=[])


def test_a_model_without_autoscaling_and_a_suspended_one_have_no_autoscaler() -> None:
    assert autoscaler() is None
    assert autoscaler(autoscaling=CPU, suspend=True) is None


def test_an_hpa_scales_the_model_and_not_its_deployment() -> None:
    wanted = {**CPU, "queuedRequestsPerPod": 3, "runningRequestsPerPod": 12, "scaleDownWindowSeconds": 60}
    made = autoscaler(autoscaling=wanted)
    assert made is not None
    assert made["spec"]["scaleTargetRef"]["kind"] == "GenAIModel"
    named = [each.get("pods", each.get("resource")) for each in made["spec"]["metrics"]]
    assert [each.get("metric", each)["name"] for each in named] == [
        "genai_requests_running",
        "genai_requests_waiting",
        "cpu",
    ]
    assert made["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60


def test_keda_asks_a_prometheus_that_somebody_names() -> None:
    wanted = {"type": "KEDA", "maxReplicas": 2, "minReplicas": 0, "keda": {"query": "sum(up)", "threshold": 7}}
    made = autoscaler(autoscaling=wanted)
    assert made is not None
    (trigger,) = made["spec"]["triggers"]
    assert trigger["metadata"]["serverAddress"] == "http://prometheus:9090"
    assert (trigger["metadata"]["query"], trigger["metadata"]["threshold"]) == ("sum(up)", "7")
    assert made["spec"]["minReplicaCount"] == 0
    with pytest.raises(InvalidModel, match=r"spec\.autoscaling\.keda\.serverAddress"):
        autoscaler(OperatorSettings(autoscalers=("KEDA",)), autoscaling=wanted)


def test_an_autoscaler_without_rights_for_it_is_refused_and_not_looked_at() -> None:
    settings = OperatorSettings(autoscalers=())
    with pytest.raises(InvalidModel, match=r"autoscaling\.hpa"):
        autoscaler(settings, autoscaling=CPU)
    assert HORIZONTAL_AUTOSCALER not in watched(())
    assert SCALED_OBJECT not in watched(("HPA", "KEDA"))
    assert SCALED_OBJECT in listed_of_models(("KEDA",))


@pytest.mark.parametrize("text", ["😀", "\x7f\x85\u2028\ufeff", "\\ud83d", 'a"b\n\\', "Grüße"])
def test_what_is_applied_is_yaml(text: str) -> None:
    assert yaml.safe_load(as_yaml({"a": text})) == {"a": text}
