"""Status of models that people have taken out of service: halted and draining ones."""

import pytest

from genai_operator.status import summarise
from genai_operator.status.observed import PodOptionsState
from support.models import answers, conditions, make_model, message, observe, ready_pod, starting_pod


def test_halted_when_a_pod_has_acknowledged_it() -> None:
    model, pods = make_model({"terminate-session": "1"}), (ready_pod(1), ready_pod(2))
    before = summarise(model, observe(*pods))
    assert conditions(before)["Ready"] == ("True", "Serving")
    status = summarise(model, observe(*pods, answers=answers(model, pods[0])))
    assert conditions(status)["Ready"] == ("False", "Halted")
    assert "1 of 2 pods are halted" in message(status, "Ready")
    assert conditions(status)["WorkloadAvailable"] == ("True", "Available")


HALTED = {"conditions": [{"type": "Ready", "status": "False", "reason": "Halted", "message": "before"}]}


@pytest.mark.parametrize(
    ("annotations", "want"),
    [
        ({"terminate-session": "1", "enable-profiling": "another"}, "Halted"),
        ({"terminate-session": "yes"}, "Halted"),
        ({"terminate-session": "0"}, "Serving"),
        ({}, "Serving"),
    ],
    ids=["another option is being sent", "a bad value leaves pods halted", "zero serves", "removing it serves"],
)
def test_pods_stay_halted_until_they_are_told_otherwise(annotations: dict[str, str], want: str) -> None:
    assert conditions(summarise(make_model(annotations, HALTED), observe(ready_pod())))["Ready"][1] == want


DRAINING = {"conditions": [{"type": "Ready", "status": "False", "reason": "Draining", "message": "before"}]}


def test_draining_when_a_pod_has_acknowledged_it() -> None:
    model, pods = make_model({"drain": "1m30s"}), (ready_pod(1), ready_pod(2))
    assert conditions(summarise(model, observe(*pods)))["Ready"] == ("True", "Serving")
    status = summarise(model, observe(*pods, answers=answers(model, *pods)))
    assert conditions(status)["Ready"] == ("False", "Draining")
    assert message(status, "Ready") == "drain is 90s: 2 of 2 pods take no new requests"


def test_pods_that_drain_are_not_ready_and_nothing_is_wrong_with_them() -> None:
    model = make_model({"drain": "30s"}, summarise(make_model(), observe(ready_pod())))
    pod = ready_pod(ready=False)
    seen = conditions(summarise(model, observe(pod, answers=answers(model, pod))))
    assert seen["Ready"] == seen["WorkloadAvailable"] == ("False", "Draining")
    assert seen["ModelAvailable"] == ("True", "Available")
    assert seen["Progressing"] == ("False", "Complete")
    assert seen["Degraded"] == ("False", "Healthy")


def test_a_pod_that_crashes_in_a_drain_crashes() -> None:
    model = make_model({"drain": "30s"})
    pod = starting_pod(waiting_reason="CrashLoopBackOff", exit_code=1, restarts=3)
    other = ready_pod(2, ready=False)
    status = summarise(model, observe(pod, other, answers=answers(model, other)))
    assert conditions(status)["Ready"] == ("False", "CrashLoopBackOff")


def test_who_drains_and_is_halted_drains() -> None:
    model = make_model({"drain": "30s", "terminate-session": "1"}, HALTED)
    pod = ready_pod()
    assert conditions(summarise(model, observe(pod, answers=answers(model, pod))))["Ready"] == ("False", "Draining")


@pytest.mark.parametrize(
    ("annotations", "want"),
    [
        ({"drain": "30s", "log-level": "debug"}, "Draining"),
        ({"drain": "60s"}, "Draining"),
        ({"drain": "soon"}, "Draining"),
        ({"drain": "0"}, "Serving"),
        ({}, "Serving"),
    ],
    ids=["another option is sent", "another deadline is sent", "a bad value", "zero serves", "removing it serves"],
)
def test_pods_drain_until_they_are_told_otherwise(annotations: dict[str, str], want: str) -> None:
    assert conditions(summarise(make_model(annotations, DRAINING), observe(ready_pod())))["Ready"][1] == want


@pytest.mark.parametrize(
    ("missing", "want"), [(("arena-shrinkage",), "Halted"), (("arena-shrinkage", "terminate-session"), "Serving")]
)
def test_an_option_that_the_engine_lacks_says_nothing_of_the_others(missing: tuple[str, ...], want: str) -> None:
    model, pod = make_model({"terminate-session": "1", "arena-shrinkage": "1"}), ready_pod()
    known = answers(model, pod, state=PodOptionsState.UNSUPPORTED, unsupported=missing)
    assert conditions(summarise(model, observe(pod, answers=known)))["Ready"][1] == want
