"""Who runs next, and in which pieces: pure decisions over the requests that the batch engine holds.

No cache, no graph, no clock. Whether there is room is `memory`'s; which row something lies in is `slots`'s.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

# A shorter one would cost more in calls than in computing.
SHORTEST_CHUNK = 16


class Ranked(Protocol):
    """What of a request decides its turn. `number` counts the requests as they came."""

    @property
    def number(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def preempted(self) -> bool: ...


R = TypeVar("R", bound=Ranked)


def next_to_join(waiting: Iterable[R]) -> R | None:
    """Preempted ones first, for they hold up somebody who was served already; then priority, then age."""
    return min(waiting, key=lambda each: (not each.preempted, -each.priority, each.number), default=None)


def victim(running: Iterable[R]) -> R | None:
    """Who gives up its memory: the youngest of the lowest priority."""
    return min(running, key=lambda each: (each.priority, -each.number), default=None)


def chunk_length(done: int, total: int, chunk: int) -> int:
    """Tokens of the next prefill run when `done` of `total` are computed; 0 when nothing is left.

    A single token left over joins the run before it: in a run of its own it would cost as much as several.
    """
    rest = total - done
    return rest if rest <= chunk + 1 else chunk
