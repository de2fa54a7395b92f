"""Which differences of two traces are worth failing for. Pure; comparing them is `genai_traces.difference`'s."""

from collections.abc import Iterable, Sequence
from typing import Protocol

HEADER = ("OPERATOR", "PROVIDER", "BEFORE", "AFTER", "CHANGE", "PERCENT")
# Of all operators' time a run, before or after: growth of less is noise.
LEAST_SHARE = 0.01
TOTAL = "all operators"


class Difference(Protocol):
    """As `genai_traces.difference` gives it; microseconds a run."""

    @property
    def op_type(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def before(self) -> float | None: ...
    @property
    def after(self) -> float | None: ...
    @property
    def percent(self) -> float | None: ...


def regressions(differences: Sequence[Difference], limit_percent: float) -> list[str]:
    """Operators of some weight, and all together, that grew by more than the limit: "+18.0 % in MatMulNBits (CPU…)"."""
    before, after = totals(differences)
    found = []
    grown = growth(before, after)
    if grown is not None and grown > limit_percent:
        found.append(f"{grown:+.1f} % in {TOTAL}")
    least = LEAST_SHARE * max(before, after)
    for each in differences:
        if max(each.before or 0.0, each.after or 0.0) < least:
            continue
        change = each.percent
        if not each.before:
            found.append(f"{each.op_type} ({each.provider}) is new")
        elif change is not None and change > limit_percent:
            found.append(f"{change:+.1f} % in {each.op_type} ({each.provider})")
    return found


def totals(differences: Iterable[Difference]) -> tuple[float, float]:
    """(before, after) of all operators, microseconds a run."""
    pairs = [(each.before or 0.0, each.after or 0.0) for each in differences]
    return sum(before for before, _ in pairs), sum(after for _, after in pairs)


def growth(before: float, after: float) -> float | None:
    """In percent; None where there was nothing before."""
    return 100 * (after - before) / before if before else None


def row(op_type: str, provider: str, before: float | None, after: float | None) -> tuple[str, ...]:
    """One line of the table, in microseconds a run."""
    change = (after or 0.0) - (before or 0.0)
    grown = growth(before or 0.0, after or 0.0)
    return (
        op_type,
        provider,
        "-" if before is None else f"{before:.1f} µs",
        "-" if after is None else f"{after:.1f} µs",
        f"{change:+.1f} µs",
        "new" if grown is None else f"{grown:+.1f} %",
    )
