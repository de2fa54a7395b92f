"""Which pods a profile takes, and what a pod's end means: pure decisions, without services."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.profile_status import ProfilePod
from genai_operator.status.observed import ObservedPod
from genai_operator.status.profile_observed import ObservedProfile, OperatorUse, WindowAnswer, WindowReport
from genai_operator.status.profile_plan import Action, Step, plan_profile
from genai_operator.status.profile_reasons import ProfileReason
from genai_operator.status.profile_summary import ProfileProgress, summarise_profile
from genai_operator.status.profile_totals import overhead_percent, top_operators
from genai_operator.status.profile_windows import advance

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Object = dict[str, Any]


def profile(status: Object | None = None, **spec: Any) -> GenAIProfile:
    metadata = {"name": "slow", "namespace": "team", "uid": "u-1", "generation": 1}
    return GenAIProfile.from_body({"metadata": metadata, "spec": {"model": "hello", **spec}, "status": status or {}})


def pods(count: int, ready: int | None = None) -> tuple[ObservedPod, ...]:
    return tuple(
        ObservedPod(f"hello-{number:03d}", f"uid-{number}", ready=number < (count if ready is None else ready))
        for number in reversed(range(count))
    )


def chosen(count: int, ready: int | None = None, **spec: Any) -> list[str]:
    plan = plan_profile(profile(**spec), ObservedProfile(NOW, pods=pods(count, ready)))
    assert plan.fresh
    assert [step.action for step in plan.steps] == [Action.NONE] * len(plan.steps)  # written down first
    return [step.entry.name for step in plan.steps]


def waits(count: int, ready: int | None = None, **spec: Any) -> tuple[ProfileReason, bool]:
    plan = plan_profile(profile(**spec), ObservedProfile(NOW, pods=pods(count, ready)))
    assert plan.waiting is not None
    assert plan.steps == ()
    return plan.waiting.reason, plan.waiting.final


def test_pods_are_chosen_from_the_ready_ones_in_the_order_of_names() -> None:
    assert chosen(3, ready=2) == ["hello-000", "hello-001"]
    assert chosen(5, pods={"count": 2}) == ["hello-000", "hello-001"]
    assert chosen(5, pods={"percent": 50}) == ["hello-000", "hello-001", "hello-002"]
    assert chosen(5, pods={"percent": 1}) == ["hello-000"]
    assert chosen(1, pods={"names": ["hello-000", "not-yet"]}) == ["hello-000", "not-yet"]


def test_too_few_pods_are_waited_for_and_too_many_are_no_use() -> None:
    assert waits(3, ready=0) == (ProfileReason.NO_READY_PODS, False)
    assert waits(3, ready=1, pods={"count": 2}) == (ProfileReason.NOT_ENOUGH_PODS, False)
    assert waits(101) == (ProfileReason.TOO_MANY_PODS, True)
    assert len(chosen(150, pods={"count": 100})) == 100


def test_before_any_window_is_open_a_pod_that_is_gone_is_replaced_unless_it_was_named() -> None:
    status = {"phase": "Pending", "pods": [{"name": "gone", "uid": "old", "state": "Pending", "reason": "PodBusy"}]}
    seen = ObservedProfile(NOW, pods=pods(1))
    plan = plan_profile(profile(status), seen)
    assert (plan.fresh, [step.entry.name for step in plan.steps]) == (True, ["hello-000"])
    plan = plan_profile(profile(status, pods={"names": ["gone"]}), seen)
    assert [(step.entry.state, step.entry.reason) for step in plan.steps] == [("Failed", "PodGone")]


def test_a_named_pod_that_does_not_exist_is_waited_for_until_the_deadline() -> None:
    since = (NOW - timedelta(seconds=100)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Suspended", "status": "False", "reason": "NotSuspended", "lastTransitionTime": since}
    status = {"phase": "Pending", "pods": [{"name": "later"}], "conditions": [condition]}
    seen = ObservedProfile(NOW)
    for seconds, state in ((101, "Pending"), (99, "Failed")):
        named = profile(status, pods={"names": ["later"]}, startDeadlineSeconds=seconds)
        (step,) = plan_profile(named, seen).steps
        assert (step.entry.state, step.entry.reason) == (state, "PodNotFound")


def test_a_ready_pod_is_tried_once_more_even_when_the_time_is_over() -> None:
    """An operator that was away for longer than the deadline must not fail what it never tried."""
    since = "2026-11-21T00:00:00Z"
    condition = {"type": "Suspended", "status": "False", "reason": "NotSuspended", "lastTransitionTime": since}
    status = {"phase": "Pending", "pods": [{"name": "hello-000", "uid": "uid-0"}], "conditions": [condition]}
    (step,) = plan_profile(profile(status), ObservedProfile(NOW, pods=pods(1))).steps
    assert (step.action, step.expired) == (Action.OPEN, True)


@pytest.mark.parametrize(
    ("report", "state", "reason"),
    [
        (WindowReport("Open", runs=3), "Open", "Capturing"),
        (WindowReport("Merging", runs=3, close_reason="max_bytes"), "Merging", "MaxBytes"),
        (WindowReport("Complete", runs=3, close_reason="engine_restart"), "Complete", "EngineRestart"),
        (WindowReport("Complete", runs=3, close_reason="a word of a later version"), "Complete", "Closed"),
        (WindowReport("Complete", runs=0), "Failed", "NothingCaptured"),
        (WindowReport("Failed", runs=0), "Failed", "NothingCaptured"),
        (WindowReport("Failed", runs=3, message="the disk is full"), "Failed", "TraceFailed"),
    ],
)
def test_what_a_pod_reports(report: WindowReport, state: str, reason: str) -> None:
    entry = advance(Step(ProfilePod(name="p", uid="u", state="Open")), WindowAnswer(report))
    assert (entry.state, entry.reason, entry.runs) == (state, reason, report.runs)
    assert entry.message or state != "Failed"


def test_a_pods_words_are_bounded() -> None:
    report = WindowReport("Failed", "i" * 500, message="m" * 5000, overhead_percent=1e12)
    entry = advance(Step(ProfilePod(name="p", uid="u", state="Open")), WindowAnswer(report))
    assert (len(entry.message), len(entry.profile_id or ""), entry.overhead_percent) == (1024, 128, 1_000_000.0)


def test_without_times_sums_are_weighted_by_runs_and_do_not_count_what_was_lost() -> None:
    complete = [
        ProfilePod(name="a", uid="a", state="Complete", runs=30, overhead_percent=1.0),
        ProfilePod(name="b", uid="b", state="Complete", runs=10, overhead_percent=5.0),
        ProfilePod(name="c", uid="c", state="Complete", runs=5),
    ]
    reports = {
        "a": WindowReport("Complete", runs=30, operators=(OperatorUse("MatMul", "CPU", 3, 0.8),)),
        "b": WindowReport("Complete", runs=10, operators=(OperatorUse("Softmax", "CPU", 2, 1.0),)),
    }
    assert overhead_percent(complete) == 2.0
    assert overhead_percent(complete[2:]) is None
    shares = [(each.op_type, each.calls, each.share_percent) for each in top_operators(complete, reports)]
    assert shares == [("MatMul", 3, 60.0), ("Softmax", 2, 25.0)]


def test_a_pod_counts_for_the_time_that_its_operators_took() -> None:
    pods = [ProfilePod(name=name, uid=name, state="Complete", runs=10) for name in ("slow", "fast")]
    slow = (OperatorUse("MatMul", "CPU", 5, 0.5, 3000), OperatorUse("Add", "CPU", 5, 0.25, 1500))
    fast = (OperatorUse("MatMul", "CPU", 5, 0.2, 400), OperatorUse("Add", "CPU", 5, 0.8, 1600))
    reports = {
        "slow": WindowReport("Complete", runs=10, operators=slow),
        "fast": WindowReport("Complete", runs=10, operators=fast),
    }
    shares = {each.op_type: each.share_percent for each in top_operators(pods, reports)}
    assert shares == {"MatMul": 42.5, "Add": 38.8}


def test_a_status_of_a_hundred_pods_fits_its_schema() -> None:
    entries = tuple(
        ProfilePod(name=f"{'p' * 240}-{number}", uid=str(number), state="Complete", profile_id="i" * 60, runs=1)
        for number in range(100)
    )
    status = summarise_profile(profile(), ProfileProgress(entries), NOW)
    assert status["progress"] == "100/100"
    assert status["artifact"]["location"].count("pod://") == 100


def test_reasons_of_another_version_do_not_stop_a_pass() -> None:
    lost = (ProfilePod(name="p", uid="u", state="Failed", reason="FromTheFuture"),)
    status = summarise_profile(profile(), ProfileProgress(lost), NOW)
    assert status["phase"] == "Failed"
