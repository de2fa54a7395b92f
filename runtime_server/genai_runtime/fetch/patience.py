"""How long a fetch goes on trying: with growing pauses, until nothing has come for a while."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from genai_runtime.fetch.errors import Passing, unavailable

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_log = structlog.get_logger("genai_runtime.fetch")
Result = TypeVar("Result")


class Patience:
    """Gives up after `seconds` without a byte; the clock starts with the first failure. `source` is for messages."""

    def __init__(
        self,
        source: str,
        seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._sleep = sleep
        self._clock = clock
        self._failing_since: float | None = None
        self._pause = _FIRST_PAUSE

    def moving(self) -> None:
        """Something came: all patience again."""
        self._failing_since = None
        self._pause = _FIRST_PAUSE

    def wait(self, error: Passing) -> None:
        """Before the next try. Raises `ModelUnusable` (SourceUnavailable) when there is to be none."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        left = self._failing_since + self._seconds - now
        pause = max(self._pause * random.uniform(0.5, 1.0), min(error.wait, _LONGEST_PAUSE))
        if left < pause:
            raise unavailable(
                f"{self._source}: {error.message}; tried for {self._seconds:.0f} seconds without a byte. Check the "
                "endpoint, and that network policies and proxies let this pod reach it"
            ) from None
        _log.warning("trying again", source=self._source, reason=error.message, seconds=round(pause, 1))
        self._sleep(pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def until_done(self, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns once it raises no `Passing` any more."""
        while True:
            try:
                return attempt()
            except Passing as error:
                self.wait(error)
