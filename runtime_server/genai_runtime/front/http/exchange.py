"""One HTTP request and its answer, as handlers see them: who asks, the body within bounds, one way to answer.

Works on raw ASGI messages, because a stream sends one for each token. What is in the bodies is not known here.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from starlette.types import Receive, Scope, Send

from genai_runtime.errors import NotServing, RuntimeServerError
from genai_runtime.front.access import Access
from genai_runtime.front.http.errors import Problem, Refused, failed, problem_of

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_SECONDS = 30.0
# Of all bodies that are being read at one time.
_MOST_UNREAD_BYTES = 64 * 1024 * 1024
# Shorter than the service's own, for there may be a number behind it.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,48}")
_JSON = b"application/json"
_log = structlog.get_logger("genai_runtime.http")

Handler: TypeAlias = "Callable[[Exchange], Awaitable[None]]"


class Desk:
    """What all exchanges of a server share: who may ask, and the bytes of bodies that are on their way."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.bytes_held = 0


class Exchange:
    """Lives as long as the request. `client` is set before a handler that is not open runs."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, desk: Desk) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._desk = desk
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._gone = False
        self.started = False
        self.plain_errors = False  # the Open Inference Protocol's instead of OpenAI's
        self.client = ""
        self.path_parameters: dict[str, Any] = {}  # of the route that was found
        asked = self.header(b"x-request-id")
        self.request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)

    def header(self, name: bytes) -> str:
        """A header's value, empty if there is none. `name` is in lower case."""
        return self._headers.get(name, b"").decode("latin-1")

    async def run(self, handler: Handler, *, is_open: bool) -> None:
        """Let `handler` answer. When the client goes away, it is cancelled, and with it the generation."""
        task = asyncio.current_task()
        try:
            if not is_open:
                self.client = self._desk.access.client_of(self._scope["headers"], self._peer())
            await handler(self)
        except RuntimeServerError as error:
            await self.fail(problem_of(error))
        except asyncio.CancelledError:
            if not self._gone:
                raise
            if task is not None:
                task.uncancel()
        except Exception:
            _log.exception("request failed", path=self._scope["path"][:200], request_id=self.request_id)
            await self.fail(failed())

    async def body(self) -> bytes:
        """The whole JSON body. From then on a client that goes away cancels the handler. Raises `Refused`."""
        self._check_head()
        held = 0
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise self._left()
                    part = message.get("body", b"")
                    held += len(part)
                    self._desk.bytes_held += len(part)
                    self._check_size(held)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            words = f"the body did not arrive within {BODY_SECONDS:g} s"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, words, "body_too_slow") from error
        finally:
            self._desk.bytes_held -= held

    async def until_gone(self, work: Awaitable[None]) -> None:
        """Run `work`, and cancel it when the client goes away."""
        task = asyncio.current_task()
        watcher = asyncio.create_task(self._watch(task))
        try:
            await work
        finally:
            watcher.cancel()

    async def answer(
        self, body: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None, kind: bytes = _JSON
    ) -> None:
        """The whole answer at once."""
        await self._start(status, [(b"content-length", b"%d" % len(body)), *(headers or [])], kind)
        await self._send({"type": "http.response.body", "body": body})

    async def begin_events(self) -> None:
        """Start a stream of server-sent events."""
        await self._start(200, [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")], b"text/event-stream")

    async def write(self, data: bytes) -> None:
        """A part of the stream; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The stream is complete."""
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, problem: Problem, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Answer with an error; in a stream as its last event."""
        body = problem.plain() if self.plain_errors else problem.body()
        if self.started:
            await self.write(b"data: " + body + b"\n\n")
            await self.end()
        else:
            await self.answer(body, problem.status, [*problem.headers, *headers])

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]], kind: bytes) -> None:
        self.started = True
        common = [(b"content-type", kind), (b"x-request-id", self.request_id.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})

    async def _watch(self, task: "asyncio.Task[None] | None") -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if task is not None:
            self._left()
            task.cancel()

    def _left(self) -> asyncio.CancelledError:
        self._gone = True
        return asyncio.CancelledError()

    def _peer(self) -> str:
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def _check_head(self) -> None:
        """What the head already says of a body that would be refused."""
        kind = self.header(b"content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            words = f"the body is {kind[:80]!r}; send JSON with 'content-type: application/json'"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words, "unsupported_media_type")
        if self.header(b"content-encoding") not in ("", "identity"):
            words = "the body is compressed; send it as it is"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words, "unsupported_media_type")
        length = self.header(b"content-length")
        self._check_size(int(length) if length.isdecimal() else 0)

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY_BYTES:
            words = f"the body has {size} bytes or more; {MAX_BODY_BYTES} are allowed"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words, "body_too_large")
        if self._desk.bytes_held > _MOST_UNREAD_BYTES:
            raise NotServing("too many large requests are arriving at this moment", 1.0)
