"""`spec.tuning`, pure: what its Job is, what a result means, and which recommendation a pod's template gets."""

import json
from typing import Any

import pytest

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.recommendation import tuning_revision, tuning_wish, with_recommended
from genai_operator.api.tuning_status import Recommended
from genai_operator.builders.deployment import deployment
from genai_operator.builders.tuning import tuning_job
from genai_operator.errors import InvalidModel
from genai_operator.settings import OperatorSettings
from genai_operator.status.job_step import Step
from genai_operator.status.observed import ObservedModel, ObservedTuning, TuningState
from genai_operator.status.tuning import next_step, recommended

SETTINGS = OperatorSettings(runtime_image="runtime:1")
RESULT = {
    "settings": {"intraOpThreads": 1, "spinning": "disabled", "prefillChunk": 128, "maxBatchSize": 4},
    "figures": [
        {
            "clients": 8,
            "tokensPerSecond": 120.5,
            "baselineTokensPerSecond": 100.4,
            "gainPercent": 20.0,
            "timeToFirstTokenMs": 50.0,
            "baselineTimeToFirstTokenMs": 60.0,
        }
    ],
    "load": {"clients": [8], "promptTokens": 16, "newTokens": 8},
    "notMeasured": ["maxBatchSize"],
    "failed": [],
}


def model(status: dict[str, Any] | None = None, **spec: Any) -> GenAIModel:
    metadata = {"name": "hello", "namespace": "team", "uid": "u-1"}
    body = {"model": {"uri": "pvc://models/hello"}, "tuning": {}, **spec}
    return GenAIModel.from_body({"metadata": metadata, "spec": body, "status": status or {}})


def job(**spec: Any) -> dict[str, Any]:
    found = model(**spec)
    assert found.spec.tuning is not None
    return tuning_job(found, found.spec.tuning, SETTINGS)


def known(state: str = "Complete", **fields: Any) -> Recommended:
    return Recommended.model_validate({"state": state, "revision": tuning_revision(model()), **fields})


def observed(state: TuningState, **fields: Any) -> ObservedModel:
    return ObservedModel(tuning=ObservedTuning(tuning_revision(model()), state, **fields), now="2026-11-21T12:00:00Z")


def test_the_job_runs_in_a_pod_shaped_as_the_models_own() -> None:
    spec: dict[str, Any] = {
        "resources": {"limits": {"cpu": "3", "memory": "5Gi"}},
        "nodeSelector": {"disk": "fast"},
        "imagePullSecrets": [{"name": "registry"}],
        "engine": {"maxBatchSize": 5},
        "generation": {"maxTokens": 77},
    }
    template = job(**spec)["spec"]["template"]
    theirs = deployment(model(**spec), SETTINGS)["spec"]["template"]["spec"]
    pod, (container,), (served,) = template["spec"], template["spec"]["containers"], theirs["containers"]
    for name in ("image", "resources", "securityContext"):
        assert container[name] == served[name]
    for name in ("securityContext", "nodeSelector", "imagePullSecrets", "automountServiceAccountToken"):
        assert pod[name] == theirs[name]
    assert container["args"][:2] == ["tune", "/models/hello"]
    settings = json.loads(container["env"][0]["value"])
    assert settings["max_concurrent_requests"] == 5
    assert "default_max_tokens" not in settings
    assert not {"ports", "readinessProbe", "livenessProbe", "lifecycle"} & container.keys()
    assert pod["restartPolicy"] == "Never"


def test_it_has_the_models_volumes_and_none_of_a_servers_credentials() -> None:
    server = {"tls": {"secretName": "certificate", "clientCASecretName": "clients"}, "apiKeys": {"secretName": "keys"}}
    pod = job(server=server)["spec"]["template"]["spec"]
    assert not [each for each in pod["volumes"] if "secret" in each]
    mounts = {each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounts == {each["name"] for each in pod["volumes"]}
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}} in pod["volumes"]
    fetching = job(model={"uri": "hf://org/repo@main"})["spec"]["template"]["spec"]
    (fetch,) = fetching["initContainers"]
    names = {each["name"] for each in fetching["volumes"]}
    assert {each["name"] for each in fetch["volumeMounts"]} <= names


def test_no_service_takes_its_pod_for_one_of_the_model() -> None:
    made = job()
    assert "genai-operator.io/model" not in {
        **made["metadata"]["labels"],
        **made["spec"]["template"]["metadata"]["labels"],
    }
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_the_load_and_the_sweep_are_its_arguments() -> None:
    tuning = {
        "load": {"clients": 8, "promptTokens": 16, "newTokens": 8},
        "sweep": {"threads": [1, 2], "spinning": ["disabled"], "batch": []},
        "maxSeconds": 60,
    }
    made = job(tuning=tuning)
    assert made["spec"]["template"]["spec"]["containers"][0]["args"][2:] == [
        *("--clients", "8", "--prompt-tokens", "16", "--new-tokens", "8", "--seconds", "60"),
        *("--threads", "1,2", "--spinning", "disabled", "--batch", "none"),
    ]
    assert made["spec"]["activeDeadlineSeconds"] > 60


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"resources": {"limits": {"cpu": "4", "memory": "2Gi"}}}, True),
        ({"model": {"uri": "builtin://hello"}}, True),
        ({"tuning": {"load": {"clients": 9}}}, True),
        ({"engine": {"speculation": "ngram"}}, True),
        ({"engine": {"maxBatchSize": 3, "prefillChunk": 32}}, False),
        ({"threads": {"intraOp": 1, "spinning": "disabled"}}, False),
        ({"tuning": {"apply": "Automatic"}}, False),
        ({"tuning": {"request": "again"}}, False),
        ({"generation": {"maxTokens": 5}}, False),
        ({"replicas": 7}, False),
        ({"tuning": {"load": {"clients": 4}, "maxSeconds": 300}}, False),  # the defaults, written out
        ({"model": {"uri": "pvc://models/hello", "sha256": "0" * 64}}, True),
        ({"adapters": [{"name": "a", "path": "a.onnx_adapter"}]}, False),  # loaded while it serves
    ],
)
def test_what_is_swept_or_does_not_matter_makes_no_other_revision(changed: dict[str, Any], anew: bool) -> None:
    assert (tuning_revision(model(**changed)) != tuning_revision(model())) == anew


def test_a_request_is_another_wish() -> None:
    assert tuning_wish(model(tuning={"request": "again"})) != tuning_wish(model())


@pytest.mark.parametrize(
    ("spec", "before", "present", "step"),
    [
        ({}, None, None, Step.MAKE),
        ({}, None, "wish", Step.READ),
        ({}, None, "another", Step.REMOVE),
        ({}, known(), "wish", Step.NOTHING),
        ({}, known("Failed"), None, Step.NOTHING),
        ({}, known("Running"), None, Step.MAKE),
        ({"tuning": {"request": "again"}}, known(), None, Step.MAKE),
        ({"suspend": True}, None, None, Step.WAIT),
        ({"suspend": True}, None, "wish", Step.REMOVE),
        ({"tuning": None}, known(), "wish", Step.REMOVE),
        ({"tuning": None}, known(), None, Step.NOTHING),
    ],
)
def test_what_comes_next(spec: dict[str, Any], before: Recommended | None, present: str | None, step: Step) -> None:
    assert next_step(model(**spec), "wish", before, tuning_revision(model()), present) is step


def test_a_result_is_told() -> None:
    found = recommended(model(), observed(TuningState.COMPLETE, result=RESULT))
    assert found is not None
    assert found.model_dump(by_alias=True, exclude_none=True, mode="json") == {
        "state": "Complete",
        "message": "+20.0 % tokens per second",
        "revision": tuning_revision(model()),
        "settings": RESULT["settings"],
        "applied": False,
        "tokensPerSecond": 120.5,
        "baselineTokensPerSecond": 100.4,
        "gainPercent": 20.0,
        "timeToFirstTokenMs": 50.0,
        "baselineTimeToFirstTokenMs": 60.0,
        "load": {"clients": 8, "promptTokens": 16, "newTokens": 8},
        "notMeasured": ["maxBatchSize"],
        "at": "2026-11-21T12:00:00Z",
    }


@pytest.mark.parametrize("result", [{}, {"figures": []}, {**RESULT, "settings": {"intraOpThreads": "a lot"}}])
def test_a_result_that_cannot_be_read_is_a_failure(result: dict[str, Any]) -> None:
    found = recommended(model(), observed(TuningState.COMPLETE, result=result))
    assert found is not None
    assert found.state == "Failed"
    assert "without a result" in found.message


def test_while_it_is_measured_anew_the_figures_before_stay_unless_they_are_of_something_else() -> None:
    status = {"recommended": known(settings={"intraOpThreads": 1}, tokensPerSecond=5.0).model_dump(by_alias=True)}
    again = model(status, tuning={"request": "again"})
    found = recommended(again, observed(TuningState.RUNNING, message="it runs"))
    assert found is not None
    assert (found.state, found.request, found.tokens_per_second, found.started_at) == (
        "Running",
        "again",
        5.0,
        "2026-11-21T12:00:00Z",
    )
    other = ObservedModel(tuning=ObservedTuning("other", TuningState.RUNNING))
    assert recommended(again, other) == Recommended(state="Running", revision="other", request="again", started_at="")
    assert recommended(model(status, tuning=None), observed(TuningState.RUNNING)) is None
    assert recommended(again, ObservedModel()) == known(settings={"intraOpThreads": 1}, tokensPerSecond=5.0).model_copy(
        update={"applied": False}
    )


def rendered(**spec: Any) -> dict[str, Any]:
    """The runtime's settings with a recommendation in the status."""
    revision = tuning_revision(model(**spec))
    status = {"recommended": {"state": "Complete", "revision": revision, "settings": RESULT["settings"]}}
    made = deployment(with_recommended(model(status, **spec)), SETTINGS)
    found: dict[str, Any] = json.loads(made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    return {name: found.get(name) for name in ("threads", "spinning", "prefill_chunk", "max_concurrent_requests")}


def test_a_recommendation_is_rendered_where_the_spec_leaves_a_setting_open() -> None:
    automatic = {"apply": "Automatic"}
    assert rendered(tuning=automatic) == {
        "threads": 1,
        "spinning": "disabled",
        "prefill_chunk": 128,
        "max_concurrent_requests": 16,
    }
    written = {"threads": {"intraOp": 2, "spinning": "enabled"}, "engine": {"prefillChunk": 32}}
    assert rendered(tuning=automatic, **written) == {
        "threads": 2,
        "spinning": "enabled",
        "prefill_chunk": 32,
        "max_concurrent_requests": 16,
    }
    assert rendered()["threads"] == "auto"
    assert rendered(tuning=automatic, engine={"mode": "single"})["prefill_chunk"] is None


def test_a_recommendation_for_something_else_is_not_rendered() -> None:
    status = {"recommended": known(settings={"intraOpThreads": 1}).model_dump(by_alias=True, exclude_none=True)}
    same = model(status, tuning={"apply": "Automatic"})
    assert with_recommended(same).spec.threads.intra_op == 1
    other = model(status, tuning={"apply": "Automatic"}, resources={"limits": {"cpu": "7"}})
    assert with_recommended(other).spec.threads.intra_op == "auto"
    garbage = model({"recommended": {"state": "Odd"}}, tuning={"apply": "Automatic"})
    assert with_recommended(garbage) is garbage


@pytest.mark.parametrize(
    ("tuning", "field"),
    [
        ({"load": {"clients": 0}}, "clients"),
        ({"sweep": {"threads": [0]}}, "threads"),
        ({"sweep": {"spinning": ["fast"]}}, "spinning"),
        ({"sweep": {"prefillChunk": [8]}}, "prefillChunk"),
        ({"maxSeconds": 5}, "maxSeconds"),
        ({"apply": "Always"}, "apply"),
        ({"request": "a b"}, "request"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(tuning: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidModel, match=field):
        model(tuning=tuning)
