"""What scales and places a model's pods, on a real API server with the real controllers: what takes effect, what not.

There are no nodes, so pods are made and stay pending; who writes what of an object is as in any cluster.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.operator_process import GROUP, Operator, Team, new_team, running_operator

pytestmark = pytest.mark.timeout(600)

Object = dict[str, Any]
SCALED_OBJECTS = Path(__file__).parents[1] / "data" / "input" / "scaledobject-crd.yaml"
BY_CPU = {"minReplicas": 2, "maxReplicas": 3, "cpuUtilizationPercent": 80}
BY_KEDA = {"type": "KEDA", "maxReplicas": 3, "queuedRequestsPerPod": 4}
SETTINGS = {
    "AUTOSCALERS": "HPA,KEDA",
    "PROMETHEUS_ADDRESS": "http://prometheus.example:9090",
    "POD_LABELS": "kueue.x-k8s.io/queue-name",
    "ENV": "HTTPS_PROXY,OTEL_*",
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SETTINGS.items():
            environment.setenv(f"GENAI_OPERATOR_{name}", value)
        with running_operator(tmp_path_factory.mktemp("plane")) as running:
            yield running


@pytest.fixture
def team(operator: Operator, request: pytest.FixtureRequest) -> Team:
    return new_team(operator.plane, request)


def change(team: Team, **spec: Any) -> None:
    team.kubectl("patch", "genaimodel", "hello", "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def replicas(team: Team) -> tuple[int, int]:
    """Of the model and of its Deployment."""
    deployment = team.find("deployment", "hello") or {"spec": {"replicas": -1}}
    return team.get("genaimodel", "hello")["spec"]["replicas"], deployment["spec"]["replicas"]


def message(team: Team, kind: str) -> str:
    conditions = team.get("genaimodel", "hello").get("status", {}).get("conditions", [])
    return next((str(each["message"]) for each in conditions if each["type"] == kind), "")


def the_pod(team: Team) -> Object:
    """The model's one pod, once it is there."""
    pods: list[Object] = []

    def there() -> bool:
        found = team.kubectl("get", "pods", f"--selector={GROUP}/model=hello", "--output=json")
        pods[:] = json.loads(found)["items"]
        return len(pods) == 1

    team.until(there, "one pod")
    return pods[0]


def test_an_autoscaler_sets_the_models_replicas_and_the_operator_follows(team: Team) -> None:
    team.model("hello", replicas=1, autoscaling=BY_CPU)
    # Kubernetes' own controller reads our scale subresource, and writes the least that it may.
    team.until(lambda: replicas(team) == (2, 2), "two replicas")

    def able() -> bool:
        conditions = team.get("horizontalpodautoscaler", "hello").get("status", {}).get("conditions", [])
        return ("AbleToScale", "True") in {(each["type"], each["status"]) for each in conditions}

    team.until(able, "AbleToScale")
    owner = team.get("horizontalpodautoscaler", "hello")["metadata"]["ownerReferences"][0]
    assert owner["uid"] == team.get("genaimodel", "hello")["metadata"]["uid"]
    team.kubectl("scale", "genaimodel", "hello", "--replicas=7")
    team.until(lambda: replicas(team) == (3, 3), "the most that it may")
    change(team, suspend=True)
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is None, "no autoscaler while suspended")
    team.until(lambda: replicas(team) == (3, 0), "no pods while suspended")
    change(team, suspend=False)
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is not None, "the autoscaler again")
    team.until(lambda: replicas(team) == (3, 3), "as before")
    change(team, autoscaling=None)
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is None, "no autoscaler")
    team.kubectl("scale", "genaimodel", "hello", "--replicas=1")
    team.until(lambda: replicas(team) == (1, 1), "what people say, again")


def test_an_autoscaler_is_put_right_and_a_foreign_one_is_left_alone(team: Team) -> None:
    team.model("hello", replicas=2, autoscaling=BY_CPU)
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is not None, "the autoscaler")
    patch = json.dumps({"spec": {"maxReplicas": 9}})
    team.kubectl("patch", "horizontalpodautoscaler", "hello", "--type=merge", f"--patch={patch}")
    team.until(lambda: team.get("horizontalpodautoscaler", "hello")["spec"]["maxReplicas"] == 3, "put right")
    team.kubectl("delete", "genaimodel", "hello")
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is None, "garbage collection")
    team.kubectl("create", "deployment", "other", "--image=none")
    team.kubectl("autoscale", "deployment", "other", "--name=hello", "--max=5")
    team.model("hello", autoscaling=BY_CPU)
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "NameConflict"), "NameConflict")
    assert team.get("horizontalpodautoscaler", "hello")["spec"]["maxReplicas"] == 5


def test_keda_that_is_missing_is_told_and_used_when_it_comes(operator: Operator, team: Team) -> None:
    team.model("hello", replicas=1, autoscaling=BY_KEDA)
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "AutoscalerUnavailable"), "told")
    assert "install KEDA" in message(team, "Accepted")
    assert team.find("deployment", "hello") is not None, "a model serves without being scaled"
    operator.plane.kubectl("apply", "--server-side", "--filename", str(SCALED_OBJECTS))
    # Tried again after a growing pause; an edit is tried at once.
    operator.plane.kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=60s")
    change(team, autoscaling={"keda": {"cooldownSeconds": 60}})
    team.until(lambda: team.condition("hello", "Accepted") == ("True", "Accepted"), "accepted")
    spec = team.get("scaledobject", "hello")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": f"{GROUP}/v1alpha1", "kind": "GenAIModel", "name": "hello"}
    (trigger,) = spec["triggers"]
    labels = f'namespace="{team.name}",model_name="hello"'
    assert trigger["metadata"]["query"] == f"sum(vllm:num_requests_waiting{{{labels}}})"
    change(team, autoscaling={"type": "HPA", "keda": None, "minReplicas": 1})
    team.until(lambda: team.find("scaledobject", "hello") is None, "no ScaledObject")
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is not None, "an HPA in its place")
    change(team, autoscaling={"type": "KEDA"})
    team.until(lambda: team.find("scaledobject", "hello") is not None, "a ScaledObject again")
    team.until(lambda: team.find("horizontalpodautoscaler", "hello") is None, "no HPA")
    assert json.loads(operator.get("/healthz"))["ok"], "a kind without a watch is no ailment"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"podLabels": {"team": "a"}}, ("spec.podLabels: team", "models.podLabels")),
        ({"podAnnotations": {"sidecar.istio.io/inject": "true"}}, ("sidecar.istio.io/inject", "models.podAnnotations")),
        ({"env": [{"name": "LD_PRELOAD", "value": "x"}]}, ("spec.env: LD_PRELOAD", "models.env")),
        ({"podTemplate": {"spec": {"hostNetwork": True}}}, ("spec.podTemplate", "models.allowPodTemplate")),
    ],
    ids=["label", "annotation", "variable", "template"],
)
def test_what_is_not_permitted_is_refused(team: Team, spec: Object, told: tuple[str, str]) -> None:
    team.model("hello", **spec)
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "InvalidSpec"), "InvalidSpec")
    said = message(team, "Accepted")
    assert all(each in said for each in told), said
    assert team.find("deployment", "hello") is None


def test_pods_are_placed_ranked_labelled_and_told_as_the_spec_says(operator: Operator, team: Team) -> None:
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}}
    runtime = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "boxed"},
        "handler": "boxed",
    }
    for each in ({**priority, "value": 1000}, runtime):
        operator.plane.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(each))
    team.kubectl("create", "serviceaccount", "cloud")
    zone = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    apart = {"topologyKey": "kubernetes.io/hostname"}
    team.model(
        "hello",
        replicas=1,
        affinity={
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [zone]}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]},
        },
        topologySpreadConstraints=[{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        priorityClassName="urgent",
        runtimeClassName="boxed",
        schedulerName="another",
        serviceAccountName="cloud",
        podLabels={"kueue.x-k8s.io/queue-name": "gpus"},
        env=[{"name": "HTTPS_PROXY", "value": "http://$(HOST):1"}],
        minReadySeconds=5,
        rollout={"maxSurge": 2, "maxUnavailable": 1},
    )
    pod = the_pod(team)
    spec, own = (
        pod["spec"],
        {"matchLabels": {f"{GROUP}/model": "hello", "app.kubernetes.io/managed-by": "genai-operator"}},
    )
    assert spec["affinity"] == {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [zone]}},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{**apart, "labelSelector": own}]},
    }
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == own
    assert (spec["priority"], spec["runtimeClassName"], spec["schedulerName"]) == (1000, "boxed", "another")
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("cloud", False)
    assert team.find("serviceaccount", "hello-model") is None
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    deployment = team.get("deployment", "hello")
    assert deployment["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    # As it was written, and not expanded by the kubelet.
    assert {"name": "HTTPS_PROXY", "value": "http://$$(HOST):1"} in spec["containers"][0]["env"]
    assert deployment["spec"]["minReadySeconds"] == 5
    # The one pod that there is goes on serving.
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 2, "maxUnavailable": 0}
    change(team, replicas=3, serviceAccountName=None)
    team.until(
        lambda: team.get("deployment", "hello")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1,
        "may be missing",
    )
    team.until(lambda: team.find("serviceaccount", "hello-model") is not None, "its own account again")


@pytest.mark.parametrize("field", ["priorityClassName", "runtimeClassName", "serviceAccountName"])
def test_a_missing_class_or_account_is_told(team: Team, field: str) -> None:
    team.model("hello", replicas=1, **{field: "nobody"})
    team.until(lambda: team.condition("hello", "Degraded") == ("True", "AdmissionDenied"), "AdmissionDenied")
    assert "nobody" in message(team, "Degraded")


def test_the_log_has_no_surprise(operator: Operator) -> None:
    assert "Traceback" not in operator.log_file.read_text()
    assert [line for line in operator.log() if line["level"] in ("error", "critical")] == []
