"""Who is served next: higher priorities first, then round robin over clients, each client's own in their order.

Pure: no clock, no event loop. How long anybody may wait is `admission.py`'s business.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What is queued."""

    client: str
    priority: int


E = TypeVar("E", bound=Entry)


class FairQueue(Generic[E]):
    """Every operation is linear in the clients of one priority at most, `remove` in that client's entries."""

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, deque[E]]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[E]:
        """All entries, in no particular order."""
        for clients in self._levels.values():
            for entries in clients.values():
                yield from entries

    def push(self, entry: E) -> None:
        """Behind the client's own; a client that had nothing queued is the last in the round."""
        self._levels.setdefault(entry.priority, OrderedDict()).setdefault(entry.client, deque()).append(entry)
        self._length += 1

    def first(self) -> E | None:
        """The next one."""
        if not self._length:
            return None
        clients = self._levels[max(self._levels)]
        return next(iter(clients.values()))[0]

    def pop(self) -> E:
        """Take the next one; its client goes to the end of the round. Raises `IndexError` when nothing is queued."""
        entry = self.first()
        if entry is None:
            raise IndexError("nothing is queued")
        clients = self._levels[entry.priority]
        clients[entry.client].popleft()
        clients.move_to_end(entry.client)
        self._forget_empty(entry)
        self._length -= 1
        return entry

    def remove(self, entry: E) -> bool:
        """Whether it was queued."""
        entries = self._levels.get(entry.priority, OrderedDict()).get(entry.client, deque())
        if entry not in entries:
            return False
        entries.remove(entry)
        self._forget_empty(entry)
        self._length -= 1
        return True

    def ahead_of(self, client: str, priority: int) -> list[E]:
        """The entries that would be served before a new one of this client, if nobody else came."""
        before = [entry for level in self._levels if level > priority for entry in self._of_level(level)]
        clients = self._levels.get(priority, OrderedDict())
        rounds = len(clients.get(client, ())) + 1
        for name, entries in clients.items():
            before += list(entries)[: len(entries) if name == client else rounds]
        return before

    def give_way(self, client: str, priority: int) -> E | None:
        """The entry that fairness takes out of a full queue for a new one of this client; None: the new one stays out.

        The last one of the lowest priority's greediest client, if that priority is lower or that client has more than
        the new one's would then have.
        """
        if not self._length:
            return None
        level = min(self._levels)
        clients = self._levels[level]
        greediest = max(clients, key=lambda name: len(clients[name]))
        own = len(clients.get(client, ())) if level == priority else 0
        if level > priority or (level == priority and len(clients[greediest]) <= own + 1):
            return None
        return clients[greediest][-1]

    def _of_level(self, level: int) -> Iterator[E]:
        for entries in self._levels[level].values():
            yield from entries

    def _forget_empty(self, entry: E) -> None:
        clients = self._levels[entry.priority]
        if not clients[entry.client]:
            del clients[entry.client]
        if not clients:
            del self._levels[entry.priority]
