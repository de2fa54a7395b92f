"""Who may use the engine now, and who waits: a bounded queue, first come first served, with a longest wait.

Knows nothing of protocols, prompts or the engine; counts slots.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from genai_runtime.errors import Overloaded, RuntimeServerError


class DeadlinePassed(RuntimeServerError):
    """The caller's deadline passed while its request waited."""


class Admission:
    """Used from the event loop only. `on_change` hears of every change of `running` and `waiting`."""

    def __init__(
        self, slots: int, queue_length: int, max_wait: float, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._slots = slots
        self._queue_length = queue_length
        self._max_wait = max_wait
        self._on_change = on_change
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self, deadline: float | None) -> AsyncIterator[float]:
        """Holds one slot; yields the seconds waited for it.

        `deadline` is on the loop's clock. Raises `Overloaded` when the queue is full or the wait was too long,
        `DeadlinePassed`, or what `refuse_waiting` was called with.
        """
        started = asyncio.get_running_loop().time()
        if self.running < self._slots and not self._waiting:
            self.running += 1
        else:
            await self._wait(started, deadline)
        self._on_change()
        try:
            yield asyncio.get_running_loop().time() - started
        finally:
            self._release()

    def refuse_waiting(self, error: RuntimeServerError) -> None:
        """End every wait with `error`."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)

    async def _wait(self, started: float, deadline: float | None) -> None:
        """Returns holding a slot, which `_release` handed over, so that nobody can overtake."""
        if self.waiting >= self._queue_length:
            raise Overloaded(
                f"the queue is full: {self.running} requests are running and {self.waiting} are waiting",
                self._retry_after(),
            )
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        self._on_change()
        until = started + self._max_wait
        try:
            async with asyncio.timeout_at(until if deadline is None else min(until, deadline)):
                await turn
        except BaseException as error:
            handed_over = turn.done() and not turn.cancelled() and turn.exception() is None
            if handed_over:
                self._release()
            if not isinstance(error, TimeoutError):
                raise
            if deadline is not None and deadline < until:
                raise DeadlinePassed("the deadline passed while the request waited in the queue") from error
            message = f"the request waited {self._max_wait:g} s in the queue, the longest wait allowed"
            raise Overloaded(message, self._retry_after()) from error
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._on_change()

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._on_change()
                return
        self.running -= 1
        self._on_change()

    def _retry_after(self) -> float:
        """A rough guess that spreads returning callers: longer, the longer the queue."""
        return min(30.0, 1.0 + self.waiting / max(1, self._slots))
