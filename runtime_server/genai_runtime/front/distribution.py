"""Counters and histograms that cost a fraction of a microsecond, for what is measured with every token.

Written from the event loop, read by the thread that serves /metrics: no locks, so a scrape may be one token behind
itself. Their names and families are `metrics.py`'s.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate


class Tally:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`."""
        self.value += amount


class Distribution:
    """How often a value was at most each of `bounds` (ascending), as Prometheus counts it."""

    __slots__ = ("_bounds", "_counts", "total", "watcher")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.watcher: Callable[[float, int], None] | None = None  # hears every value
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0  # of all values

    def observe(self, value: float, count: int = 1) -> None:
        """`count` times the same value."""
        self._counts[bisect_left(self._bounds, value)] += count
        self.total += value * count
        if self.watcher is not None:
            self.watcher(value, count)

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, how many values up to it), the last bound being +Inf."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))
