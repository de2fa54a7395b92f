"""Which changes of a status are worth an Event: transitions only, never a repeated state. Writing is the services'."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genai_operator.status.conditions import previous_condition
from genai_operator.status.reasons import ConditionType, Reason

_TOLD = (ConditionType.ACCEPTED, ConditionType.MODEL_BUILT, ConditionType.READY, ConditionType.RUNTIME_OPTIONS_APPLIED)
_ON_THE_WAY = (
    Reason.PENDING,
    Reason.FETCHING,
    Reason.FETCHED,
    Reason.BUILDING,
    Reason.LOADING,
    Reason.ROLLING_OUT,
    Reason.APPLYING,
)
# Of these conditions one reason alone is told: the others say what another condition says.
_TOLD_FOR = {
    ConditionType.PROGRESSING: Reason.ROLLOUT_BLOCKED,
    ConditionType.DEGRADED: Reason.PROVIDER_DEGRADED,
}
_WANTED = (Reason.SUSPENDED, Reason.SCALED_TO_ZERO, Reason.HALTED, Reason.DRAINING, Reason.PAUSED)

FLIGHT_RECORDED = "FlightRecorded"


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event about the model."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Notice, ...]:
    """What to tell about the step from one status to the next; either may hold only one writer's conditions."""
    return tuple(_notices(before, after))


def _notices(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Notice]:
    yield from _recordings(before.get("flightRecorder") or {}, after.get("flightRecorder") or {})
    for kind in (*_TOLD, *_TOLD_FOR):
        new, old = previous_condition(after, kind), previous_condition(before, kind)
        if not new or (new.get("status"), new.get("reason")) == (old.get("status"), old.get("reason")):
            continue
        if kind in _TOLD_FOR and new["reason"] != _TOLD_FOR[kind]:
            continue
        first_good = not old and new["status"] == "True" and kind is not ConditionType.READY
        if new["reason"] in _ON_THE_WAY or first_good:
            continue
        good = new["status"] == "True" and kind is not ConditionType.DEGRADED
        normal = good or new["reason"] in _WANTED
        yield Notice("Normal" if normal else "Warning", str(new["reason"]), f"{kind}: {new.get('message', '')}")


def _recordings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Notice]:
    """A window that a pod opened by itself: when it is first seen, and when it is known what grew."""
    if after and (after.get("profile"), after.get("lastTrigger")) != (before.get("profile"), before.get("lastTrigger")):
        said = f"pod {after.get('pod')} recorded {after.get('profile')}: {after.get('lastTrigger')}"
        yield Notice("Warning", FLIGHT_RECORDED, said)


def phase_notice(status: Mapping[str, Any]) -> Notice | None:
    """What to tell about the phase that a GenAIProfile came into; a profile has few, and each once."""
    phase = str(status["phase"])
    if phase == "Pending":
        return None
    spoken = {"Complete": "Complete", "Failed": "Failed"}.get(phase, "Captured")
    condition = previous_condition(status, spoken)
    return Notice("Warning" if phase == "Failed" else "Normal", phase, str(condition.get("message", "")))
