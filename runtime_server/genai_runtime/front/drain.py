"""The runtime option drain: new requests are refused, running ones may end until the deadline, and are terminated then.

Level-triggered: the clock starts when a drain is first wanted and goes on through changes of its length, until it is
taken away. What is refused meanwhile follows from `state.py`. The drain of a server that ends is `server.py`'s.
"""

import asyncio
import time
from collections.abc import Callable

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.state import StateHolder

LONGEST_SECONDS = 3600


def check_seconds(seconds: int) -> None:
    """Raises `InvalidRequest`."""
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidRequest("options.drain.deadline_seconds", f"is {seconds}; it must be 1 to {LONGEST_SECONDS}")


class Drain:
    """Used from the event loop only. `end` ends all that runs and waits, with these words."""

    def __init__(self, state: StateHolder, end: Callable[[str], None]) -> None:
        self._state = state
        self._end = end
        self._seconds = 0
        self._began: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: int) -> None:
        """0: no drain. The same seconds again change nothing."""
        if seconds == self._seconds:
            return
        self._seconds = seconds
        self.stop()
        if not seconds:
            self._began = None
            self._state.drain_until(None)
            return
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        until = self._began + seconds
        self._state.drain_until(until)
        self._timer = asyncio.get_running_loop().call_later(max(0.0, until - now), self._over)

    def stop(self) -> None:
        """Forget the deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        self._end(f"the {self._seconds} s of the runtime option drain are over")
