"""How the operators of two traces differ, by their time a run of the model."""

from dataclasses import dataclass
from pathlib import Path

from genai_traces.operators import OperatorTime, operator_times


@dataclass(frozen=True, slots=True)
class OperatorDifference:
    """One kind of operator on one provider, before and after, in microseconds a run; None where it does not occur."""

    op_type: str
    provider: str
    before: float | None
    after: float | None

    @property
    def microseconds(self) -> float:
        """How much more time it takes a run; less is negative."""
        return (self.after or 0.0) - (self.before or 0.0)

    @property
    def percent(self) -> float | None:
        """The same in percent of before; None where there was nothing before."""
        return 100 * self.microseconds / self.before if self.before else None


def compare(before: Path, after: Path, kind: str | None = None) -> list[OperatorDifference]:
    """Every operator of two traces, what changed most first; of the runs of one kind ("prefill", "decode") if given.

    Runs of a prompt take many times as long as runs of a token: two windows with other shares of them differ in all
    operators unless a kind is given. Raises `NotATrace`, OSError.
    """
    old, new = (_by_kind(operator_times(path, kind)) for path in (before, after))
    differences = [OperatorDifference(*key, old.get(key), new.get(key)) for key in old.keys() | new.keys()]
    return sorted(differences, key=lambda each: (-abs(each.microseconds), each.op_type, each.provider))


def _by_kind(times: list[OperatorTime]) -> dict[tuple[str, str], float]:
    return {(each.op_type, each.provider): each.microseconds_per_run for each in times}
