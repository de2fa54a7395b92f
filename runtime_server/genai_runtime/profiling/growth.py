"""Which kinds of operator took longer than in another window: pure arithmetic over their times a run."""

from collections.abc import Iterable
from dataclasses import dataclass

from genai_runtime.profiling.summary import OperatorTime

SHOWN = 5
# What grew by a smaller share is noise.
_NOTABLE = 0.05


@dataclass(frozen=True, slots=True)
class OperatorGrowth:
    """The time of one kind of operator a run of the model, now and in the window it is compared with."""

    op_type: str
    provider: str
    microseconds_per_run: float
    before_microseconds_per_run: float


def grown(before: Iterable[OperatorTime], now: Iterable[OperatorTime]) -> tuple[OperatorGrowth, ...]:
    """The kinds that grew, by what they added to a run, the most first; empty where there is nothing to compare with.

    Those that grew by less than a twentieth are left out.
    """
    known = {(each.op_type, each.provider): each.microseconds_per_run for each in before}
    if not known:
        return ()
    compared = [
        OperatorGrowth(
            each.op_type, each.provider, each.microseconds_per_run, known.get((each.op_type, each.provider), 0.0)
        )
        for each in now
    ]
    notable = [each for each in compared if _added(each) > _NOTABLE * each.before_microseconds_per_run]
    return tuple(sorted(notable, key=lambda each: (-_added(each), each.op_type, each.provider))[:SHOWN])


def _added(each: OperatorGrowth) -> float:
    return each.microseconds_per_run - each.before_microseconds_per_run
