"""Where the events of running requests wait for the one task that reads them; written to from the event loop only.

A reader that takes nothing cannot make it grow: beyond a cap the stream overflows, and its owner ends the requests.
"""

import asyncio
from collections.abc import Iterable

from genai_runtime.errors import EngineFailure
from genai_runtime.generation import Finished, Tokens

_TOKEN_BYTES = 36  # an id in a list
_LOGPROB_BYTES = 200  # one alternative, with its objects


class GenerationStream:
    """The events of requests that were submitted together, in order; each one's last is its `Finished`."""

    __slots__ = ("_events", "_failure", "_max_unread_bytes", "_unread_bytes", "_waiter", "overflowed", "running")

    def __init__(self, request_ids: Iterable[str], max_unread_bytes: int = 2**20) -> None:
        self.running = set(request_ids)  # without a `Finished` yet
        self.overflowed = False
        self._events: list[Tokens | Finished] = []
        self._failure: str | None = None
        self._max_unread_bytes = max_unread_bytes
        self._unread_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    async def next_events(self) -> list[Tokens | Finished]:
        """What has happened since the last call, one event at least. Raises `EngineFailure` if the engine died."""
        if not self._events and self._failure is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._events and self._failure is not None:
            raise EngineFailure(self._failure)
        events, self._events = self._events, []
        self._unread_bytes = 0
        return events

    def put(self, event: Tokens | Finished) -> bool:
        """An event of one of the requests; False when it was lost, for too much is unread already.

        What comes after a request's end is dropped; an end is never lost.
        """
        if event.request_id not in self.running:
            return True
        if isinstance(event, Finished):
            self.running.discard(event.request_id)
        else:
            if self.overflowed:
                return False
            self._unread_bytes += _size(event) if event.logprobs else len(event.ids) * _TOKEN_BYTES
            if self._unread_bytes > self._max_unread_bytes:
                self.overflowed = True
                return False
        self._events.append(event)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return True

    def fail(self, message: str) -> None:
        """The engine is gone: what has arrived is still delivered, then `EngineFailure`."""
        self._failure = message
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _size(event: Tokens) -> int:
    """Bytes of memory, roughly, of tokens with log-probabilities."""
    return sum(_TOKEN_BYTES + _LOGPROB_BYTES * (1 + len(each.top)) for each in event.logprobs)
