"""One HTTP connection within bounds: slow senders, endless headers and readers that stop reading are cut off.

uvicorn parses and writes; it has no limits of these kinds of its own. The body's size and time are `exchange.py`'s.
"""

import asyncio
from typing import Any

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_log = structlog.get_logger("genai_runtime.http")
_MOST_HEAD_BYTES = 64 * 1024
# For a request's head to arrive, from the connection or from the head's first byte.
_HEAD_SECONDS = 20.0
# A client that takes nothing for so long is cut off, for it keeps an engine slot.
WRITE_SECONDS = 20.0
# After an answer that did not wait for the whole body: until the client has sent the rest.
_REST_SECONDS = 10.0


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol with timers. What is in the timers is the reason that the log gets."""

    head_seconds = _HEAD_SECONDS
    write_seconds = WRITE_SECONDS
    rest_seconds = _REST_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._in_head = self._in_message = False
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The first request's head is expected."""
        super().connection_made(transport)
        self._expect("sent no request", self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives it."""
        self._expect_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of heads are counted; bodies are not read further than somebody waits for them."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._cut("sent an endless head")

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0
        self._expect("sent its head too slowly", self.head_seconds)

    def on_headers_complete(self) -> None:
        """The application takes over, with its own time for the body."""
        self._in_head = False
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Nothing of this request is missing."""
        self._in_message = False
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A client that is still sending gets time to notice, for a reset would eat the answer."""
        super().on_response_complete()
        if self._in_message and not self.transport.is_closing():
            self._expect("sent on after its answer", self.rest_seconds)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._writing = self.loop.call_later(self.write_seconds, self._cut, "took no data")

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _expect(self, failing: str, seconds: float) -> None:
        self._expect_nothing()
        self._reading = self.loop.call_later(seconds, self._cut, failing)

    def _expect_nothing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _cut(self, why: str) -> None:
        """At once: whoever does not read would not read a farewell either."""
        if not self.transport.is_closing() or self._writing is not None:
            _log.info("connection cut", peer=self.client[0] if self.client else "", reason=f"the client {why}")
            self.transport.abort()
