"""Which pods get the options, what the status says of them, and which changes become Events."""

from dataclasses import replace
from typing import Any

import pytest

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import desired_options
from genai_operator.status import summarise_runtime_options
from genai_operator.status.events import transitions
from genai_operator.status.live_plan import plan_live_options
from genai_operator.status.observed import ObservedModel, ObservedPod, PodAnswer, PodOptionsState
from support.models import LATER, answers, make_model, observe, ready_pod, starting_pod


def names(pods: tuple[ObservedPod, ...]) -> list[str]:
    return [pod.name for pod in pods]


def told(model: GenAIModel, observed: ObservedModel) -> dict[str, Any]:
    return summarise_runtime_options(model, desired_options(model), observed)


def verdict(status: dict[str, Any]) -> tuple[str, str]:
    (condition,) = status["conditions"]
    return condition["status"], condition["reason"]


MODEL = make_model({"terminate-session": "1"})
POD = ready_pod(1)
OTHER = {POD.uid: PodAnswer(POD.container_id, "another", PodOptionsState.APPLIED)}

PLANS: dict[str, tuple[ObservedPod, dict[str, PodAnswer], str]] = {
    "a pod that was never asked": (POD, {}, "push"),
    "a pod that loads is told before it is ready": (starting_pod(1, running=True), {}, "push"),
    "a pod that has them": (POD, answers(MODEL, POD), "up_to_date"),
    "a pod that has others": (POD, OTHER, "push"),
    "a restarted container": (replace(POD, container_id="containerd://new"), answers(MODEL, POD), "push"),
    "a pod that did not answer": (POD, answers(MODEL, POD, state=PodOptionsState.UNREACHABLE), "push"),
    "a pod that refused them": (POD, answers(MODEL, POD, state=PodOptionsState.REJECTED), "up_to_date"),
    "a pod that cannot apply them": (POD, answers(MODEL, POD, state=PodOptionsState.UNSUPPORTED), "up_to_date"),
    "a pod without an address": (replace(POD, ip=""), {}, "waiting"),
    "a pod without a running container": (starting_pod(1), {}, "waiting"),
}


@pytest.mark.parametrize(("pod", "known", "want"), PLANS.values(), ids=PLANS.keys())
def test_a_pod_is_in_one_part_of_the_plan(pod: ObservedPod, known: dict[str, PodAnswer], want: str) -> None:
    plan = plan_live_options(desired_options(MODEL), observe(pod, answers=known))
    found = {"push": names(plan.push), "up_to_date": names(plan.up_to_date), "waiting": names(plan.waiting)}
    assert {part for part, pods in found.items() if pods} == {want}


def test_pods_on_their_way_out_are_in_no_part() -> None:
    pods = replace(POD, deleting=True), replace(POD, phase="Failed", uid="f"), replace(POD, phase="Succeeded", uid="s")
    plan = plan_live_options(desired_options(MODEL), observe(*pods))
    assert (plan.push, plan.up_to_date, plan.waiting) == ((), (), ())


def test_nothing_is_pushed_while_a_value_is_rejected() -> None:
    model = make_model({"terminate-session": "1", "enable-profiling": "../../x"})
    assert plan_live_options(desired_options(model), observe(POD)).push == ()


def test_all_pods_have_them() -> None:
    pods = ready_pod(1), ready_pod(2), ready_pod(3)
    status = told(MODEL, observe(*pods, answers=answers(MODEL, *pods)))
    assert status["runtimeOptions"]["applied"] == "3/3"
    assert status["runtimeOptions"]["revision"] == desired_options(MODEL).revision
    assert [each["state"] for each in status["runtimeOptions"]["pods"]] == ["Applied"] * 3
    assert verdict(status) == ("True", "Applied")


STATES: dict[str, tuple[ObservedModel, tuple[str, str], str]] = {
    "no pods": (observe(), ("True", "NoPods"), ""),
    "not asked yet": (observe(POD), ("False", "Applying"), "Pending"),
    "not running yet": (observe(starting_pod(1)), ("False", "Applying"), "Pending"),
    "has others": (observe(POD, answers=OTHER), ("False", "Applying"), "Pending"),
    "does not answer": (
        observe(POD, answers=answers(MODEL, POD, state=PodOptionsState.UNREACHABLE)),
        ("False", "Unreachable"),
        "Unreachable",
    ),
    "does not answer while it starts": (
        observe(replace(POD, ready=False), answers=answers(MODEL, POD, state=PodOptionsState.UNREACHABLE, served=None)),
        ("False", "Applying"),
        "Pending",
    ),
    "does not answer any more, and is not ready either": (
        observe(replace(POD, ready=False), answers=answers(MODEL, POD, state=PodOptionsState.UNREACHABLE)),
        ("False", "Unreachable"),
        "Unreachable",
    ),
    "cannot": (
        observe(POD, answers=answers(MODEL, POD, state=PodOptionsState.UNSUPPORTED)),
        ("False", "Unsupported"),
        "Unsupported",
    ),
    "refuses": (
        observe(POD, answers=answers(MODEL, POD, state=PodOptionsState.REJECTED)),
        ("False", "Rejected"),
        "Rejected",
    ),
}


@pytest.mark.parametrize(("observed", "want", "state"), STATES.values(), ids=STATES.keys())
def test_what_is_told_of_a_pod(observed: ObservedModel, want: tuple[str, str], state: str) -> None:
    status = told(MODEL, observed)
    assert verdict(status) == want
    assert [each["state"] for each in status["runtimeOptions"]["pods"]] == ([state] if state else [])


def test_a_rejected_value_is_named_in_the_condition() -> None:
    model = make_model({"enable-profiling": "../../x", "terminate-session": "x" * 100_000})
    status = told(model, observe(POD))
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "Rejected")
    assert 'annotation genai-operator.io/enable-profiling: "../../x" must be' in condition["message"]
    assert "genai-operator.io/terminate-session" in condition["message"]
    assert len(condition["message"]) <= 1024


def test_pods_that_lack_them_are_listed_first_and_the_list_is_bounded() -> None:
    pods = tuple(ready_pod(number) for number in range(1, 151))
    status = told(MODEL, observe(*pods, answers=answers(MODEL, *pods[:140])))
    listed = status["runtimeOptions"]["pods"]
    assert status["runtimeOptions"]["applied"] == "140/150"
    assert len(listed) == 100
    assert [each["state"] for each in listed[:11]] == ["Pending"] * 10 + ["Applied"]


def test_a_restarted_operator_repeats_what_pods_acknowledged() -> None:
    first = told(MODEL, observe(POD, answers=answers(MODEL, POD)))
    model = make_model({"terminate-session": "1"}, status=first)
    assert told(model, observe(POD, now=LATER)) == first


def test_a_restarted_operator_that_asked_again_keeps_the_time() -> None:
    first = told(MODEL, observe(POD, answers=answers(MODEL, POD)))
    model = make_model({"terminate-session": "1"}, status=first)
    assert told(model, observe(POD, answers=answers(MODEL, POD, at=LATER), now=LATER)) == first


def test_an_old_acknowledgement_is_not_repeated_for_other_options() -> None:
    first = told(MODEL, observe(POD, answers=answers(MODEL, POD)))
    model = make_model({"terminate-session": "0"}, status=first)
    assert told(model, observe(POD))["runtimeOptions"]["applied"] == "0/1"


def silent(*pods: ObservedPod) -> dict[str, PodAnswer]:
    return answers(MODEL, *pods, state=PodOptionsState.UNREACHABLE, message="DEADLINE_EXCEEDED")


def test_one_silent_pod_of_ten_is_named_and_the_others_have_them() -> None:
    pods = tuple(ready_pod(number) for number in range(10))
    status = told(MODEL, observe(*pods, answers=answers(MODEL, *pods[:4], *pods[5:]) | silent(pods[4])))
    assert verdict(status) == ("False", "PartiallyApplied")
    assert status["conditions"][0]["message"] == (
        "9 of 10 pods have them; not reached: pod hello-4: DEADLINE_EXCEEDED; "
        "asked again about every 30 s for 10 minutes, then about every 5 minutes"
    )
    assert status["runtimeOptions"]["applied"] == "9/10"
    assert status["runtimeOptions"]["pods"][0]["name"] == "hello-4"


def test_of_many_silent_pods_three_are_named() -> None:
    pods = tuple(ready_pod(number, name=f"{'x' * 240}-{number}") for number in range(10))
    status = told(MODEL, observe(*pods, answers=answers(MODEL, *pods[:2]) | silent(*pods[2:])))
    assert verdict(status) == ("False", "PartiallyApplied")
    message = status["conditions"][0]["message"]
    assert [number for number in range(10) if f"x-{number}" in message] == [2, 3, 4]
    assert "and 5 more" in message
    assert len(message) <= 1024


def test_a_pod_that_is_on_its_way_does_not_hide_a_silent_one() -> None:
    pods = ready_pod(1), ready_pod(2), starting_pod(3)
    status = told(MODEL, observe(*pods, answers=answers(MODEL, pods[0]) | silent(pods[1])))
    assert verdict(status) == ("False", "PartiallyApplied")


def test_without_a_pod_that_has_them_they_are_not_partially_applied() -> None:
    pods = ready_pod(1), ready_pod(2)
    status = told(MODEL, observe(*pods, answers=silent(*pods)))
    assert verdict(status) == ("False", "Unreachable")
    assert "pods hello-1, hello-2: DEADLINE_EXCEEDED" in status["conditions"][0]["message"]


def test_a_drain_and_a_rule_are_counted_on_pods_that_have_them() -> None:
    model = make_model({"drain": "30s", "cancel": "client=a"})
    pods = ready_pod(1), ready_pod(2), ready_pod(3)
    known = answers(model, pods[0], requests=2, cancelled_requests=1) | answers(model, pods[1], requests=1)
    status = told(model, observe(*pods, answers=known | silent(pods[2])))["runtimeOptions"]
    assert (status["requests"], status["cancelledRequests"]) == (3, 1)
    counts = {pod["name"]: (pod.get("requests"), pod.get("cancelledRequests")) for pod in status["pods"]}
    assert counts == {"hello-1": (2, 1), "hello-2": (1, 0), "hello-3": (None, None)}


def test_without_a_drain_and_a_rule_nothing_is_counted() -> None:
    status = told(MODEL, observe(POD, answers=answers(MODEL, POD, requests=5, cancelled_requests=5)))
    assert set(status["runtimeOptions"]["pods"][0]) == {"name", "state", "message", "at"}
    assert set(status["runtimeOptions"]) == {"revision", "applied", "pods"}


def test_a_count_moves_and_the_time_of_the_acknowledgement_stays() -> None:
    model = make_model({"drain": "30s"})
    first = told(model, observe(POD, answers=answers(model, POD, requests=2)))
    again = make_model({"drain": "30s"}, status=first)
    (pod,) = told(again, observe(POD, answers=answers(model, POD, requests=1, at=LATER)))["runtimeOptions"]["pods"]
    assert (pod["requests"], pod["at"]) == (1, first["runtimeOptions"]["pods"][0]["at"])


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": "words"}]}


LOADING = condition("Ready", "False", "Loading")
SERVING = condition("Ready", "True", "Serving")
CRASHING = condition("Ready", "False", "CrashLoopBackOff")
APPLIED = condition("RuntimeOptionsApplied", "True", "Applied")
REJECTED = condition("RuntimeOptionsApplied", "False", "Rejected")


@pytest.mark.parametrize(
    ("before", "after", "want"),
    [
        ({}, LOADING, []),
        (LOADING, SERVING, [("Normal", "Serving")]),
        (SERVING, SERVING, []),
        (SERVING, CRASHING, [("Warning", "CrashLoopBackOff")]),
        (CRASHING, CRASHING, []),
        (SERVING, condition("Ready", "False", "Halted"), [("Normal", "Halted")]),
        (SERVING, condition("Ready", "False", "Draining"), [("Normal", "Draining")]),
        ({}, condition("Accepted", "True", "Accepted"), []),
        ({}, condition("Accepted", "False", "InvalidSpec"), [("Warning", "InvalidSpec")]),
        (APPLIED, REJECTED, [("Warning", "Rejected")]),
        (REJECTED, APPLIED, [("Normal", "Applied")]),
        ({}, APPLIED, []),
        (SERVING, APPLIED, []),
    ],
    ids=[
        "loading is no news",
        "it serves",
        "it still serves",
        "it crashes",
        "it still crashes",
        "halted by the user",
        "drained by the user",
        "accepted at first is no news",
        "refused at first is",
        "a bad value",
        "a bad value put right",
        "nothing to apply at first is no news",
        "a part of the status without a condition says nothing of it",
    ],
)
def test_events_are_transitions(before: dict[str, Any], after: dict[str, Any], want: list[tuple[str, str]]) -> None:
    assert [(notice.type, notice.reason) for notice in transitions(before, after)] == want
