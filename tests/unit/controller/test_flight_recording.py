"""Windows that pods opened by themselves: what the status keeps of them, and which Events there are."""

from typing import Any

from genai_operator.status import summarise
from genai_operator.status.events import FLIGHT_RECORDED, transitions
from genai_operator.status.observed import Recording
from support.models import NOW, answers, make_model, observe, ready_pod

MISSED = "p99 of the time between two tokens was 130 ms, over 80 ms for 30 s"
GROWN = f"{MISSED}; MatMulNBits took 1104 us a run, 812 before"


PROFILE = "flight-recorder-20261121T101500Z-1"


def recorded(before: dict[str, Any], trigger: str) -> dict[str, Any]:
    """The status when a pod tells of this recording, after the status `before`."""
    model, pod = make_model(status=before), ready_pod()
    return summarise(model, observe(pod, answers=answers(model, pod, recording=Recording(PROFILE, trigger, NOW))))


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [notice.message for notice in transitions(before, after) if notice.reason == FLIGHT_RECORDED]


def test_a_recording_is_told_when_it_opens_and_when_it_is_known_what_grew() -> None:
    first = recorded({}, MISSED)
    assert told({}, first) == [f"pod hello-1 recorded {PROFILE}: {MISSED}"]
    second = recorded(first, GROWN)
    assert second["flightRecorder"]["lastTrigger"] == GROWN
    assert len(told(first, second)) == 1
    assert told(second, recorded(second, GROWN)) == []


def test_a_recording_outlives_its_pod_without_another_event() -> None:
    first = recorded({}, GROWN)
    later = summarise(make_model(status=first), observe())
    assert later["flightRecorder"] == first["flightRecorder"]
    assert told(first, later) == []
