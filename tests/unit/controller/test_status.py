"""The status of a model: what is seen in the cluster, and what READY and REASON say of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from genai_operator.api.genaimodel import ObjectMeta
from genai_operator.api.status_model import GenAIModelStatus
from genai_operator.errors import InvalidModel
from genai_operator.status import summarise, summarise_invalid
from genai_operator.status.observed import ObservedDeployment, ObservedModel, ObservedPod, Recording
from support.models import (
    LATER,
    NOW,
    SERVED,
    answers,
    conditions,
    make_model,
    message,
    observe,
    ready_pod,
    starting_pod,
)


def words(reason: str, said: str) -> str:
    return "a log line before\n" + json.dumps({"reason": reason, "message": said}) + "\n"


def crashed(last: str, code: int = 1, why: str = "Error") -> ObservedPod:
    return starting_pod(
        waiting_reason="CrashLoopBackOff", terminated_reason=why, terminated_message=last, exit_code=code, restarts=4
    )


CAUSES: dict[str, tuple[ObservedPod, str, str]] = {
    "an image that is not there": (
        starting_pod(waiting_reason="ImagePullBackOff", waiting_message='Back-off pulling image "x:1"'),
        "ImagePullBackOff",
        "x:1",
    ),
    "the first failed pull": (starting_pod(waiting_reason="ErrImagePull"), "ImagePullBackOff", "ErrImagePull"),
    "a Secret that is not there": (
        starting_pod(waiting_reason="CreateContainerConfigError", waiting_message='secret "x" not found'),
        "ContainerConfigError",
        'secret "x" not found',
    ),
    "no node has room": (
        starting_pod(unschedulable_message="0/1 nodes are available: 1 Insufficient cpu"),
        "Unschedulable",
        "Insufficient cpu",
    ),
    "a crash with a log line": (crashed("one\n  boom at line 3 \n\n"), "CrashLoopBackOff", "boom at line 3"),
    "a crash without a word": (crashed(""), "CrashLoopBackOff", "exit code 1, 4 restarts; its last words: none"),
    "a crash with a JSON log line": (crashed('{"event": "x"}'), "CrashLoopBackOff", '{"event": "x"}'),
    "killed for its memory": (crashed("", 137, "OOMKilled"), "OutOfMemory", "resources.limits.memory"),
    "killed from outside with 137": (crashed("working", 137), "OutOfMemory", "memory"),
    "memory ran out, and it had spoken before": (
        crashed(words("ModelInvalid", "x"), 137, "OOMKilled"),
        "OutOfMemory",
        "memory",
    ),
    "no such model": (crashed(words("ModelNotFound", "no folder /models/x")), "ModelNotFound", "no folder /models/x"),
    "keys that cannot be read": (crashed(words("InvalidSpec", "there is no key")), "InvalidSpec", "there is no key"),
    "no room for a cache": (crashed(words("OutOfMemory", "a KV cache of 1 byte")), "OutOfMemory", "a KV cache"),
    "a broken model": (crashed(words("ModelInvalid", "no tokenizer.json")), "ModelInvalid", "no tokenizer.json"),
    "no GPU": (
        crashed(words("ExecutionProviderUnavailable", "no cuda here")),
        "ExecutionProviderUnavailable",
        "no cuda here",
    ),
    "a reason that is not in the list": (crashed(words("Boredom", "tired")), "CrashLoopBackOff", "tired"),
    "running again, not ready again": (
        starting_pod(running=True, terminated_reason="Error", terminated_message="boom", exit_code=1, restarts=1),
        "CrashLoopBackOff",
        "boom",
    ),
}


@pytest.mark.parametrize(("pod", "want_reason", "want_words"), CAUSES.values(), ids=CAUSES.keys())
def test_a_pod_that_does_not_serve_names_the_cause(pod: ObservedPod, want_reason: str, want_words: str) -> None:
    status = summarise(make_model(), observe(pod))
    seen = conditions(status)
    assert seen["Ready"] == ("False", want_reason)
    assert seen["WorkloadAvailable"] == ("False", want_reason)
    assert seen["Degraded"] == ("True", want_reason)
    assert want_words in message(status, "Ready")
    model_is_at_fault = want_reason in ("ModelNotFound", "ModelInvalid")
    assert seen["ModelAvailable"][0] == ("False" if model_is_at_fault else "Unknown")


def test_a_pod_that_serves() -> None:
    model, pod = make_model(), ready_pod()
    status = summarise(model, observe(pod, answers=answers(model, pod)))
    assert conditions(status) == {
        "Accepted": ("True", "Accepted"),
        "ModelAvailable": ("True", "Available"),
        "WorkloadAvailable": ("True", "Available"),
        "Ready": ("True", "Serving"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "Healthy"),
    }
    assert status["endpoints"] == {"grpc": "hello.demo.svc:9000", "http": "http://hello.demo.svc:8080"}
    assert status["selector"] == "app.kubernetes.io/managed-by=genai-operator,genai-operator.io/model=hello"
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (1, 1, 3)
    assert status["effective"] == {
        "provider": "cpu",
        "engine": "batch",
        "engineReason": "a graph it knows",
        "threads": {"intraOp": 2, "spinning": "disabled"},
        "maxSequenceLength": 2048,
        "maxBatchSize": 16,
        "prefillChunk": 64,
        "kvTokens": 32768,
        "prefixCaching": True,
        "image": "runtime:1",
    }
    assert status["performance"] == {"tokensPerSecond": 55.5, "timeToFirstTokenMs": 32.1}


@pytest.mark.parametrize(
    ("server", "want"),
    [
        ({"tls": {"secretName": "x"}}, "https://hello.demo.svc:8080"),
        ({"protocols": {"http": False}}, None),
    ],
    ids=["TLS", "no HTTP"],
)
def test_endpoints_follow_the_protocols(server: dict[str, Any], want: str | None) -> None:
    assert summarise(make_model(server=server), observe())["endpoints"].get("http") == want


def test_what_an_engine_does_not_count_is_left_out() -> None:
    model, pod = make_model(), ready_pod()
    served = replace(SERVED, engine="single", kv_tokens=0, prefill_chunk=0, prefix_caching=False)
    found = summarise(model, observe(pod, answers=answers(model, pod, served=served)))["effective"]
    assert {"kvTokens", "prefillChunk"} & set(found) == set()
    assert (found["maxBatchSize"], found["prefixCaching"]) == (16, False)


def test_a_pod_that_had_crashed_and_serves_again_is_well() -> None:
    pod = ready_pod(terminated_reason="Error", terminated_message="boom", exit_code=1, restarts=1)
    assert conditions(summarise(make_model(), observe(pod)))["Ready"] == ("True", "Serving")


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        (crashed("boom"), ("False", "CrashLoopBackOff")),
        (starting_pod(waiting_reason="ImagePullBackOff"), ("True", "Serving")),
        (starting_pod(unschedulable_message="no room"), ("True", "Serving")),
    ],
    ids=["never ready while a pod crashes", "ready while a new image is missing", "ready with fewer pods than wanted"],
)
def test_one_pod_serves_and_another_does_not(bad: ObservedPod, want: tuple[str, str]) -> None:
    seen = conditions(summarise(make_model(replicas=2), observe(ready_pod(1), replace(bad, name="b", uid="b"))))
    assert seen["Ready"] == want
    assert seen["Degraded"][0] == "True"
    assert seen["WorkloadAvailable"][0] == "False"


def test_of_several_causes_the_crash_is_told() -> None:
    pods = starting_pod(1, unschedulable_message="no room"), replace(crashed("boom"), name="z", uid="z")
    assert conditions(summarise(make_model(replicas=2), observe(*pods)))["Ready"][1] == "CrashLoopBackOff"


ON_THE_WAY: dict[str, tuple[ObservedModel, str, str]] = {
    "nothing there yet": (ObservedModel(now=NOW), "Pending", "Pending"),
    "a pod being made": (observe(starting_pod()), "Pending", "Pending"),
    "a pod that loads": (observe(starting_pod(running=True)), "Loading", "Loading"),
    "a pod of the old spec": (
        observe(starting_pod(), deployment=ObservedDeployment(2, 1, 1, 0, 0, 0)),
        "Pending",
        "RollingOut",
    ),
    "a pod that ends": (observe(ready_pod(deleting=True)), "Pending", "Pending"),
    "a pod that ended well": (observe(starting_pod(terminated_reason="Completed", exit_code=0)), "Pending", "Pending"),
}


@pytest.mark.parametrize(("observed", "ready", "progressing"), ON_THE_WAY.values(), ids=ON_THE_WAY.keys())
def test_on_the_way(observed: ObservedModel, ready: str, progressing: str) -> None:
    seen = conditions(summarise(make_model(), observed))
    assert seen["Ready"] == ("False", ready)
    assert seen["Progressing"] == ("True", progressing)
    assert seen["Degraded"] == ("False", "Healthy")


def test_serving_during_a_roll_out() -> None:
    observed = observe(ready_pod(1), starting_pod(2), deployment=ObservedDeployment(2, 2, 2, 1, 1, 1))
    seen = conditions(summarise(make_model(), observed))
    assert seen["Ready"] == ("True", "Serving")
    assert seen["Progressing"] == ("True", "RollingOut")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"suspend": True, "replicas": 3}, "Suspended"), ({"replicas": 0}, "ScaledToZero")],
    ids=["suspended", "scaled to zero"],
)
def test_no_pods_wanted(spec: dict[str, Any], reason: str) -> None:
    seen = conditions(summarise(make_model(**spec), observe()))
    assert seen["Ready"] == seen["WorkloadAvailable"] == ("False", reason)
    assert seen["ModelAvailable"] == ("Unknown", reason)
    assert seen["Degraded"] == ("False", "Healthy")
    assert seen["Progressing"] == ("False", "Complete")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: small', "QuotaExceeded"),
        ('pods "x" is forbidden: violates PodSecurity', "AdmissionDenied"),
    ],
)
def test_pods_that_the_cluster_refuses(said: str, reason: str) -> None:
    deployment = ObservedDeployment(1, 1, 0, 0, 0, 0, failure_message=said)
    status = summarise(make_model(), observe(deployment=deployment))
    assert conditions(status)["Ready"] == ("False", reason)
    assert said in message(status, "Ready")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conflict": "Service hello exists"}, "NameConflict"),
        ({"refusal": "Deployment hello is invalid: spec"}, "InvalidSpec"),
        ({"refusal": "Deployment hello: denied by a webhook"}, "AdmissionDenied"),
        ({"refusal": "exceeded quota: services"}, "QuotaExceeded"),
    ],
    ids=["a foreign object", "an invalid child", "a policy", "a quota"],
)
def test_children_that_cannot_be_made(change: dict[str, Any], reason: str) -> None:
    status = summarise(make_model(), ObservedModel(now=NOW, **change))
    seen = conditions(status)
    assert seen["Accepted"] == seen["Ready"] == seen["Progressing"] == ("False", reason)
    assert seen["Degraded"] == ("True", reason)
    assert message(status, "Accepted") in change.values()


def test_a_paused_model_speaks_of_the_spec_that_it_acted_on() -> None:
    model = make_model(status={"observedGeneration": 2})
    status = summarise(model, observe(ready_pod(), paused=True))
    assert status["observedGeneration"] == 2
    assert conditions(status)["Progressing"] == ("False", "Paused")
    assert conditions(status)["Ready"] == ("True", "Serving")


def test_the_newest_window_of_the_flight_recorder_is_told() -> None:
    first, second = ready_pod(1), ready_pod(2)
    known = answers(make_model(), first, recording=Recording("a", "missed", NOW))
    known |= answers(make_model(), second, recording=Recording("b", "missed more", LATER))
    status = summarise(make_model(), observe(first, second, answers=known))
    assert status["flightRecorder"] == {"lastTrigger": "missed more", "profile": "b", "pod": "hello-2", "at": LATER}
    later = make_model(status=status)
    assert summarise(later, observe(first, answers=known))["flightRecorder"] == status["flightRecorder"]
    assert "flightRecorder" not in summarise(make_model(status={"flightRecorder": {"x": 1}}), observe(first))


def test_transition_times_move_only_with_the_status() -> None:
    first = summarise(make_model(), observe(starting_pod()))
    model = make_model(status=first)
    same = summarise(model, observe(starting_pod(running=True), now=LATER))
    changed = summarise(model, observe(ready_pod(), now=LATER))

    def ready(status: dict[str, Any]) -> dict[str, Any]:
        return next(dict(each) for each in status["conditions"] if each["type"] == "Ready")

    assert (ready(same)["reason"], ready(same)["lastTransitionTime"]) == ("Loading", NOW)
    assert ready(changed)["lastTransitionTime"] == LATER


def test_nothing_changes_when_only_time_passes() -> None:
    model, pod = make_model(), ready_pod()
    first = summarise(model, observe(pod, answers=answers(model, pod)))
    again = summarise(make_model(status=first), observe(pod, answers=answers(model, pod), now=LATER))
    assert again == first


def test_a_restarted_operator_that_has_asked_no_pod_changes_nothing() -> None:
    model, pods = make_model(replicas=2), (ready_pod(1), ready_pod(2))
    first = summarise(model, observe(*pods, answers=answers(model, *pods)))
    for known in ({}, answers(model, pods[0])):
        again = summarise(make_model(status=first, replicas=2), observe(*pods, answers=known, now=LATER))
        assert again == first


def test_what_was_effective_goes_with_the_last_pod() -> None:
    model, pod = make_model(), ready_pod()
    first = summarise(model, observe(pod, answers=answers(model, pod)))
    gone = summarise(make_model(status=first, replicas=0), observe())
    assert "performance" not in gone
    assert gone["effective"] == {"image": "runtime:1"}


def test_the_newest_pod_says_what_is_effective() -> None:
    model, old, new = make_model(), ready_pod(1), ready_pod(2)
    served = replace(SERVED, intra_op_threads=2, inter_op_threads=4, spinning=True, thread_cpus=(6, 7))
    said = answers(model, old) | answers(model, new, served=served)
    assert summarise(model, observe(new, old, answers=said))["effective"]["threads"] == {
        "intraOp": 2,
        "interOp": 4,
        "spinning": "enabled",
        "affinity": [6, 7],
    }


def test_an_invalid_model_is_told_and_its_pods_are_counted() -> None:
    metadata = ObjectMeta(name="x" * 80, namespace="demo", generation=4)
    error = InvalidModel("InvalidSpec", "spec.model.uri: must be " + "x" * 5000)
    status = summarise_invalid(metadata, {}, error, observe(ready_pod()))
    seen = conditions(status)
    assert seen["Accepted"] == seen["Ready"] == ("False", "InvalidSpec")
    assert (status["observedGeneration"], status["readyReplicas"]) == (4, 1)
    assert len(message(status, "Accepted")) <= 1024
    GenAIModelStatus.model_validate(status)


def test_long_messages_are_cut_to_what_the_schema_takes() -> None:
    status = summarise(make_model(), observe(starting_pod(unschedulable_message="x" * 5000)))
    assert len(message(status, "Ready")) == 1024
    GenAIModelStatus.model_validate(status)


def test_the_other_writers_parts_are_never_sent() -> None:
    status = summarise(make_model(status={"requestedRuntimeOptions": {"terminateSession": "1"}}), observe(ready_pod()))
    assert "requestedRuntimeOptions" not in status
    assert "runtimeOptions" not in status
    assert "RuntimeOptionsApplied" not in conditions(status)
