"""One condition: bounded text, and a time that stays while its status does. Which there are is decided
by `summary.py` and `profile_summary.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from genai_operator.api.status_model import MAX_MESSAGE_LENGTH, Condition

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says."""

    status: Truth
    reason: StrEnum
    message: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Makes the conditions of one status from verdicts. `now` is RFC 3339; `previous` the status in the cluster.

    `generation`: which one they speak of; None for what does not follow the spec alone.
    """

    previous: Mapping[str, Any]
    generation: int | None
    now: str

    def make(self, kind: StrEnum, verdict: Verdict) -> Condition:
        """The condition; its transition time is the previous one's if the status is the same."""
        before = previous_condition(self.previous, kind)
        same = before.get("status") == verdict.status and before.get("lastTransitionTime")
        return Condition(
            type=kind.value,
            status=verdict.status,
            reason=verdict.reason.value,
            message=bounded(verdict.message),
            observed_generation=self.generation,
            last_transition_time=str(before["lastTransitionTime"]) if same else self.now,
        )


def previous_condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition of a status as it lies in the cluster; empty when it is not there."""
    for condition in status.get("conditions") or ():
        if isinstance(condition, Mapping) and condition.get("type") == kind:
            return condition
    return {}


def bounded(text: str) -> str:
    """The text, cut to what a message may hold."""
    return text if len(text) <= MAX_MESSAGE_LENGTH else text[: MAX_MESSAGE_LENGTH - 3] + "..."
