"""How many Events one model may cause: a burst, then one now and then, as client-go limits its own.

A model that goes up and down all night must not fill the API server with Events; its conditions tell the same.
"""

from collections.abc import Callable
from time import monotonic

_BURST = 25
_REFILL_SECONDS = 300.0


class EventBudget:
    """A bucket of Events for each model."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # key -> (Events spent, when that was true)

    def take(self, key: str) -> bool:
        """Whether one more Event may be posted; if so, it counts."""
        now = self._clock()
        spent, at = self._spent.get(key, (0.0, now))
        spent = max(0.0, spent - (now - at) / _REFILL_SECONDS)
        allowed = spent <= _BURST - 1
        self._spent[key] = (spent + allowed, now)
        return allowed

    def forget(self, key: str) -> None:
        """Drops the bucket of a model that is gone."""
        self._spent.pop(key, None)
