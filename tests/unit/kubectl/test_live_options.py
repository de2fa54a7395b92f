"""Live options from the command line: what is written, and when all pods have acknowledged it."""

from typing import Any

import pytest

from genai_kubectl.decisions.acknowledgement import acknowledgement, cancelled, declared
from genai_kubectl.decisions.live_options import cancel_rule, resume_changes, seconds_text, standing_rule
from genai_kubectl.errors import WrongUsage
from genai_kubectl.names import ANNOTATION_CANCEL, ANNOTATION_DRAIN, ANNOTATION_TERMINATE_SESSION

HALT = ANNOTATION_TERMINATE_SESSION


def model(
    revision: str = "a",
    applied: str = "2/2",
    annotations: dict[str, str] | None = None,
    *,
    reason: str = "Applied",
    message: str = "",
    **spec: Any,
) -> dict[str, Any]:
    done, _, total = applied.partition("/")
    pods = [
        {"name": f"hello-{number}", "state": "Applied" if number < int(done) else "Pending", "message": ""}
        for number in range(int(total))
    ]
    status = "True" if reason in ("Applied", "NoPods") else "False"
    condition = {"type": "RuntimeOptionsApplied", "status": status, "reason": reason, "message": message}
    return {
        "metadata": {"name": "hello", "namespace": "demo", "annotations": annotations},
        "spec": {"runtimeOptions": spec},
        "status": {
            "runtimeOptions": {"revision": revision, "applied": applied, "pods": pods},
            "conditions": [condition],
        },
    }


BEFORE = model("a")


def test_an_old_acknowledgement_is_none_for_the_change() -> None:
    state = acknowledgement(model("a", annotations={HALT: "1"}), HALT, BEFORE)
    assert not state.done
    assert state.waiting == ("the operator has not taken the change up",)


def test_done_when_all_pods_have_the_new_revision() -> None:
    assert acknowledgement(model("b", annotations={HALT: "1"}), HALT, BEFORE).done


def test_not_done_while_a_pod_lacks_it() -> None:
    state = acknowledgement(model("b", "1/2", {HALT: "1"}, reason="Applying"), HALT, BEFORE)
    assert (state.done, str(state)) == (False, "1 of 2 pods")
    assert state.waiting == ("pod hello-1: Pending",)


def test_no_pods_is_done() -> None:
    assert acknowledgement(model("b", "0/0", {HALT: "1"}, reason="NoPods"), HALT, BEFORE).done


def test_the_same_value_again_needs_no_new_revision() -> None:
    halted = model("b", annotations={HALT: "1"})
    assert acknowledgement(halted, HALT, halted).done


def test_what_a_weaker_source_asks_for_already_needs_no_new_revision() -> None:
    asked = model("b", terminateSession="1")
    assert acknowledgement(model("b", annotations={HALT: "1"}, terminateSession="1"), HALT, asked).done


@pytest.mark.parametrize(("before", "after", "same"), [("60s", "1m", True), ("60s", "61s", False), ("0", None, True)])
def test_drains_of_equal_length_are_the_same(before: str, after: str | None, same: bool) -> None:
    old = model("a", annotations={ANNOTATION_DRAIN: before})
    new = model("a", annotations={ANNOTATION_DRAIN: after} if after else {})
    assert acknowledgement(new, ANNOTATION_DRAIN, old).done is same


def test_a_rejected_value_fails_at_once() -> None:
    said = f'annotation {ANNOTATION_CANCEL}: "x" must be a rule'
    rejected = model("a", "2/2", {ANNOTATION_CANCEL: "x"}, reason="Rejected", message=said)
    assert acknowledgement(rejected, ANNOTATION_CANCEL, BEFORE).failed == said


def test_a_value_that_somebody_else_has_wrong_is_not_blamed_on_this_one() -> None:
    rejected = model("a", annotations={HALT: "1"}, reason="Rejected", message=f'annotation {ANNOTATION_DRAIN}: "x"')
    state = acknowledgement(rejected, HALT, BEFORE)
    assert (state.failed, state.done) == ("", False)


def test_a_pod_that_cannot_do_it_fails() -> None:
    unable = model("b", "1/2", {ANNOTATION_CANCEL: "client=a"}, reason="Unsupported")
    unable["status"]["runtimeOptions"]["pods"][1] |= {"state": "Unsupported", "message": "cancel"}
    assert acknowledgement(unable, ANNOTATION_CANCEL, BEFORE).failed == "pod hello-1: Unsupported, cancel"


def test_without_a_status_it_waits() -> None:
    empty = {"metadata": {"name": "hello"}, "spec": {}}
    assert not acknowledgement(empty, HALT, empty).done


def test_ended_requests_are_told_where_pods_say_them() -> None:
    counted = model()
    assert cancelled(counted) is None
    counted["status"]["runtimeOptions"]["cancelledRequests"] = 2
    assert cancelled(counted) == 2


def test_the_status_wins_over_the_spec() -> None:
    both = model(terminateSession="1")
    both["status"]["requestedRuntimeOptions"] = {"terminateSession": "0"}
    assert declared(both, HALT) == "0"


@pytest.mark.parametrize(
    ("annotations", "spec", "changes"),
    [
        ({}, {}, {}),
        ({HALT: "1"}, {}, {HALT: None}),
        ({HALT: "1", ANNOTATION_DRAIN: "30s"}, {}, {HALT: None, ANNOTATION_DRAIN: None}),
        ({HALT: "1"}, {"terminateSession": "1"}, {HALT: "0"}),
        ({}, {"drain": "30s"}, {ANNOTATION_DRAIN: "0"}),
        ({HALT: "1"}, {"terminateSession": "0"}, {HALT: None}),
    ],
)
def test_resume_takes_away_what_stops_the_model(
    annotations: dict[str, str], spec: dict[str, str], changes: dict[str, str | None]
) -> None:
    assert resume_changes(model(annotations=annotations, **spec)) == changes


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        (("r-1", "", "", None), "request-id=r-1"),
        (("", "team-a", "1m", 500), "client=team-a,older-than=60s,tokens-over=500"),
        (("", "", "", 0), "tokens-over=0"),
    ],
)
def test_a_cancel_rule_has_what_was_given(fields: tuple[str, str, str, int | None], rule: str) -> None:
    assert cancel_rule(*fields) == rule


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (("", "", "", None), "--request-id"),
        (("a,client=b", "", "", None), "--request-id"),
        (("", "a=b", "", None), "--client"),
        (("", "", "soon", None), "--older-than"),
        (("", "", "0s", None), "--older-than"),
    ],
)
def test_a_rule_that_would_mean_something_else_is_refused(fields: tuple[str, str, str, int | None], named: str) -> None:
    with pytest.raises(WrongUsage, match=named):
        cancel_rule(*fields)


@pytest.mark.parametrize(("value", "standing"), [(None, ""), ("", ""), ("0", ""), ("client=a", "client=a")])
def test_a_rule_that_stands(value: str | None, standing: str) -> None:
    assert standing_rule(model(annotations=None if value is None else {ANNOTATION_CANCEL: value})) == standing


def test_a_drains_length_is_whole_seconds() -> None:
    assert seconds_text("1m30s", "--deadline") == "90s"
    with pytest.raises(WrongUsage, match="whole seconds"):
        seconds_text("1500ms", "--deadline")
