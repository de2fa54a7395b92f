"""Who may use the engine now, and who waits: a bounded queue, fair between clients, with a longest wait.

Knows nothing of protocols, prompts or the engine; counts slots, and how fast they come free.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from genai_runtime.errors import Overloaded, RuntimeServerError
from genai_runtime.front.fair_queue import FairQueue

# Of the time a slot is held: weight of the newest in the mean; how many it takes to judge deadlines by it.
_NEWEST_WEIGHT = 0.1
_ENOUGH_MEASURED = 8
_SHORTEST_RETRY, _LONGEST_RETRY = 0.1, 60.0


class DeadlinePassed(RuntimeServerError):
    """The caller's deadline passed while its request waited."""


@dataclass(eq=False, slots=True)
class Turn:
    """A request's place in the queue, or its slots. `name` is for `withdraw` only."""

    name: str = ""
    client: str = ""
    slots: int = 1
    priority: int = 0
    deadline: float | None = None  # on the loop's clock
    _granted: asyncio.Future[None] = field(init=False)

    def __post_init__(self) -> None:
        self._granted = asyncio.get_running_loop().create_future()


class Admission:
    """Used from the event loop only. `on_change` hears of every change of `running` and `waiting`."""

    def __init__(
        self, slots: int, queue_length: int, max_wait: float, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._slots = slots
        self._queue_length = queue_length
        self._max_wait = max_wait
        self._on_change = on_change
        self._queue: FairQueue[Turn] = FairQueue()
        self._slots_held = 0
        self._mean_held_seconds = 0.0
        self._measured = 0
        self.running = 0  # requests that hold slots

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def free_slots(self) -> int:
        """Slots that nobody holds."""
        return self._slots - self._slots_held

    @asynccontextmanager
    async def slot(self, turn: Turn) -> AsyncIterator[float]:
        """Holds the turn's slots; yields the seconds waited for them.

        Raises `Overloaded` when the queue is full, the wait was too long or the deadline cannot be met,
        `DeadlinePassed`, or what `refuse_waiting` or `withdraw` was called with.
        """
        clock = asyncio.get_running_loop().time
        arrived = clock()
        if turn.deadline is not None and turn.deadline <= arrived:
            raise DeadlinePassed("the deadline had passed when the request arrived")
        if turn.slots <= self.free_slots and not self._queue:
            self._take(turn)
        else:
            await self._wait(turn, arrived)
        began = clock()
        try:
            yield began - arrived
        finally:
            self._release(turn, clock() - began)

    def refuse_waiting(self, error: RuntimeServerError) -> None:
        """End every wait with `error`."""
        for turn in list(self._queue):
            self._refuse(turn, error)

    def withdraw(self, name: str, error: RuntimeServerError) -> bool:
        """End this request's wait with `error`; False if it does not wait."""
        turn = next((turn for turn in self._queue if turn.name == name), None)
        if turn is not None:
            self._refuse(turn, error)
        return turn is not None

    def expected_wait(self, client: str = "", priority: int = 0, slots: int = 1) -> float:
        """Seconds that a new request would wait, by the mean time a slot is held; 0 while too little is measured."""
        if self._measured < _ENOUGH_MEASURED:
            return 0.0
        ahead = sum(turn.slots for turn in self._queue.ahead_of(client, priority)) + slots - self.free_slots
        return max(0.0, ahead * self._mean_held_seconds / self._slots)

    async def _wait(self, turn: Turn, arrived: float) -> None:
        """Returns holding the slots, which `_grant` handed over, so that nobody can overtake."""
        self._refuse_hopeless(turn, arrived)
        self._make_room(turn)
        self._queue.push(turn)
        self._on_change()
        until = arrived + self._max_wait
        granted = turn._granted
        try:
            async with asyncio.timeout_at(until if turn.deadline is None else min(until, turn.deadline)):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._release(turn, None)
            if not isinstance(error, TimeoutError):
                raise
            if turn.deadline is not None and turn.deadline < until:
                raise DeadlinePassed("the deadline passed while the request waited in the queue") from error
            message = f"the request waited {self._max_wait:g} s in the queue, the longest wait allowed"
            raise Overloaded(message, self._retry_after()) from error
        finally:
            if self._queue.remove(turn):
                self._on_change()
                self._grant()  # a smaller one may have waited behind it

    def _refuse_hopeless(self, turn: Turn, now: float) -> None:
        if turn.deadline is None:
            return
        wait, left = self.expected_wait(turn.client, turn.priority, turn.slots), turn.deadline - now
        if wait > left:
            message = f"the queue is about {wait:.1f} s long, and the request's deadline is in {left:.1f} s"
            raise Overloaded(message, self._retry_after())

    def _make_room(self, turn: Turn) -> None:
        """In a full queue the greediest client's newest gives way to one who has less there."""
        if self.waiting < self._queue_length:
            return
        loser = self._queue.give_way(turn.client, turn.priority) if self._queue_length else None
        message = f"the queue is full: {self.running} requests are running and {self.waiting} are waiting"
        if loser is None:
            raise Overloaded(message, self._retry_after())
        self._refuse(loser, Overloaded(f"{message}; others have fewer there or go first", self._retry_after()))

    def _refuse(self, turn: Turn, error: RuntimeServerError) -> None:
        self._queue.remove(turn)
        if not turn._granted.done():
            turn._granted.set_exception(error)
        self._on_change()
        self._grant()

    def _take(self, turn: Turn) -> None:
        self._slots_held += turn.slots
        self.running += 1
        self._on_change()

    def _release(self, turn: Turn, held_seconds: float | None) -> None:
        """None: it never used them."""
        self._slots_held -= turn.slots
        self.running -= 1
        if held_seconds is not None:
            self._measured += 1
            weight = max(_NEWEST_WEIGHT, 1 / self._measured)
            self._mean_held_seconds += weight * (held_seconds - self._mean_held_seconds)
        self._grant()
        self._on_change()

    def _grant(self) -> None:
        """Hand free slots to those who are next; one that needs many is not overtaken by those who need few."""
        while (turn := self._queue.first()) is not None and turn.slots <= self.free_slots:
            self._queue.pop()
            if not turn._granted.done():
                self._take(turn)
                turn._granted.set_result(None)

    def _retry_after(self) -> float:
        """When the queue will have moved on, by the measured rate; without one, longer the longer the queue."""
        if self._measured < _ENOUGH_MEASURED:
            return min(30.0, 1.0 + self.waiting / max(1, self._slots))
        wait = (self.waiting + 1) * self._mean_held_seconds / self._slots
        return min(_LONGEST_RETRY, max(_SHORTEST_RETRY, wait))
