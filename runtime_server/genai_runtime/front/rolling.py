"""How long something took lately: a 99th percentile over the last seconds, in constant memory and a fraction of a
microsecond a value. What is too long, and what follows from it, is `flight_recorder.py`'s.
"""

from bisect import bisect_left
from collections import deque

# Seconds; each is a fifth more than the one before, from 0.1 ms to an hour.
_GRID = [0.0001 * 1.2**step for step in range(96)]
_SHARE = 0.99


class RollingPercentile:
    """Values of the last `slices` calls of `advance`, compared exactly with `objective` (seconds)."""

    def __init__(self, objective: float, slices: int) -> None:
        self.objective = objective
        self._bounds = sorted({*_GRID, objective})
        self._slices: deque[list[int]] = deque([self._empty()], maxlen=max(1, slices))
        self._longest: deque[float] = deque([0.0], maxlen=max(1, slices))

    def observe(self, seconds: float, count: int = 1) -> None:
        """`count` times the same value."""
        self._slices[-1][bisect_left(self._bounds, seconds)] += count
        if seconds > self._longest[-1]:
            self._longest[-1] = seconds

    def advance(self) -> None:
        """Begin a new slice; the oldest one is forgotten."""
        self._slices.append(self._empty())
        self._longest.append(0.0)

    def p99(self) -> float:
        """An upper bound of 99 % of the values, at most a fifth above it, and above `objective` only if it is; or 0."""
        counts = [sum(column) for column in zip(*self._slices, strict=True)]
        wanted, seen = _SHARE * sum(counts), 0
        for bound, count in zip(self._bounds, counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(bound, max(self._longest))
        return max(self._longest)

    def _empty(self) -> list[int]:
        return [0] * (len(self._bounds) + 1)
