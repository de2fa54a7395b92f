"""Which operators took the time: pure arithmetic over operator events. No files, no JSON."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorShare:
    """One kind of operator on one execution provider.

    `share` (0 to 1) is of the time of all operators; `microseconds` is its own, of all runs together.
    """

    op_type: str
    provider: str
    calls: int
    share: float
    microseconds: int = 0


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """The time of one kind of operator on one execution provider, a run of the model; "" for a device's own kernels."""

    op_type: str
    provider: str
    microseconds_per_run: float
    calls: int = 0  # in all runs


class OperatorTotals:
    """Adds up operators' own time (that of nested operators counts for those only), in constant memory."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], int] = {}
        self._microseconds: dict[tuple[str, str], int] = {}

    def add(self, op_type: str, provider: str, microseconds: int) -> None:
        """Count one execution that took `microseconds` of its own."""
        key = (op_type, provider)
        self._calls[key] = self._calls.get(key, 0) + 1
        self._microseconds[key] = self._microseconds.get(key, 0) + microseconds

    def top(self, limit: int) -> list[OperatorShare]:
        """Return at most `limit` kinds, the costliest first; equal ones by more calls, then by name."""
        total = sum(self._microseconds.values())
        order = sorted(self._calls, key=lambda key: (-self._microseconds[key], -self._calls[key], key))
        return [
            OperatorShare(key[0], key[1], self._calls[key], spent / total if total else 0.0, spent)
            for key, spent in ((key, self._microseconds[key]) for key in order[:limit])
        ]

    def per_run(self, runs: int) -> list[OperatorTime]:
        """Every kind with its own time divided by `runs`, in the order of `top`."""
        order = sorted(self._calls, key=lambda key: (-self._microseconds[key], -self._calls[key], key))
        return [
            OperatorTime(key[0], key[1], round(self._microseconds[key] / runs, 3), self._calls[key]) for key in order
        ]


def operator_shares(operators: Iterable[tuple[str, str, int]], limit: int) -> list[OperatorShare]:
    """Return the shares of (op_type, provider, own microseconds) triples; see `OperatorTotals.top`."""
    totals = OperatorTotals()
    for op_type, provider, microseconds in operators:
        totals.add(op_type, provider, microseconds)
    return totals.top(limit)
