"""The messages between the front process and the engine process, and their bytes.

A frame is a 4-byte big-endian length and a msgpack list `[kind, …]`. Both ends are of the same release, so there is no
version in it. `Events` come with every step of every stream and are written by hand, as plain lists; the others are
rare and go through pydantic. What a message does is the business of `worker.py` and `process.py`.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgpack
from pydantic import TypeAdapter, ValidationError

from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    TokenLogprob,
    Tokens,
    WindowProgress,
)

MAX_FRAME_BYTES = 16 * 1024 * 1024  # a prompt of a million tokens is 5 MB
_LENGTH = struct.Struct(">I")
_FIELDS = {kind: [field.name for field in fields(kind)] for kind in (Finished, WindowProgress)}


@dataclass(frozen=True, slots=True)
class Load:
    """The first frame to an engine process. `engine` is auto, single or fake."""

    spec: EngineSpec
    engine: str


@dataclass(frozen=True, slots=True)
class Submit:
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: str
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Halt:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    pass


@dataclass(frozen=True, slots=True)
class OpenWindow:
    window: Window


@dataclass(frozen=True, slots=True)
class CloseWindow:
    reason: str


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    level: str  # debug | info | warning | error


@dataclass(frozen=True, slots=True)
class SetArenaShrinkage:
    on: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered at once with the same number, also while a run is in progress; what was sent before it is applied."""

    number: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End all requests with SHUTDOWN, free the model and exit."""


@dataclass(frozen=True, slots=True)
class Loaded:
    info: ModelInfo


@dataclass(frozen=True, slots=True)
class LoadFailed:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pong:
    number: int
    stats: EngineStats


@dataclass(frozen=True, slots=True)
class Events:
    """What steps have produced. A request's tokens come before its end."""

    tokens: list[Tokens] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    progress: list[WindowProgress] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fatal:
    """The last words of an engine process that cannot go on."""

    message: str


@dataclass(frozen=True, slots=True)
class SetAdapters:
    """All that are wanted, by name. `Adapters` answers, and comes again when one could be unloaded."""

    adapters: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Adapters:
    states: list[AdapterState]


Option = SetLogLevel | SetArenaShrinkage | SetAdapters
ToEngine = Load | Submit | Cancel | Halt | Resume | OpenWindow | CloseWindow | Option | Ping | Shutdown
ToFront = Loaded | LoadFailed | Pong | Events | Adapters | Fatal
Message = ToEngine | ToFront

_KINDS: tuple[type[Message], ...] = (
    *(Load, Submit, Cancel, Halt, Resume, OpenWindow, CloseWindow, SetLogLevel, SetArenaShrinkage, SetAdapters),
    *(Ping, Shutdown, Loaded, LoadFailed, Pong, Events, Adapters, Fatal),
)
_ADAPTERS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in _KINDS}
_EVENTS = Events.__name__


def encode(message: Message) -> bytes:
    """One frame. Raises `EngineFailure` when it is larger than `MAX_FRAME_BYTES`."""
    kind = type(message).__name__
    if isinstance(message, Events):
        fields = [
            [[*_plain(event)] for event in events] for events in (message.tokens, message.finished, message.progress)
        ]
        body: bytes = msgpack.packb([kind, *fields])
    else:
        body = msgpack.packb([kind, _ADAPTERS[kind].dump_python(message, mode="json")])
    _check_size(len(body))
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message of one frame's body. Raises `EngineFailure`, without quoting the content, when it is malformed."""
    try:
        kind, *fields = msgpack.unpackb(body)
        if kind == _EVENTS:
            return _events(*fields)
        message: Message = _ADAPTERS[kind].validate_python(*fields)
    except ValidationError as error:
        where = ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors(include_input=False)[:3])
        raise EngineFailure(f"a frame of kind {kind} between front and engine has wrong fields ({where})") from None
    except Exception as error:
        raise EngineFailure(
            f"a frame of {len(body)} bytes between front and engine is malformed ({type(error).__name__})"
        ) from None
    return message


def send(sock: socket.socket, message: Message) -> None:
    """Write one frame, blocking. Raises `OSError` when the peer is gone or the socket's send timeout passed."""
    sock.sendall(encode(message))


def receive(sock: socket.socket) -> Message | None:
    """Read one frame, blocking. None: the peer closed between frames. Raises `EngineFailure` on a cut-off frame."""
    header = _read_exactly(sock, _LENGTH.size)
    if not header:
        return None
    (length,) = _LENGTH.unpack(header)
    _check_size(length)
    body = _read_exactly(sock, length)
    if len(body) < length:
        raise EngineFailure(f"the peer closed inside a frame: {len(body)} of {length} bytes came")
    return decode(body)


class FrameReader(asyncio.Protocol):
    """`receive` for an event loop, as the protocol of a connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._messages: deque[Message] = deque()  # that nobody has taken yet
        self._hear: Callable[[Message], None] = self._messages.append
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None  # why nothing more is read
        self.at_eof = False  # nothing more can come

    async def receive(self) -> Message | None:
        """Read one frame. None: the peer closed between frames. Raises `EngineFailure` on a cut-off frame."""
        while not self._messages:
            if self._over():
                return None
            await self._news()
        return self._messages.popleft()

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """`hear` gets every message from now on, at once; returns when the peer has closed.

        A task that waits for each would cost every step of the engine a pass of the loop. Raises as `receive` does, and
        what `hear` raises.
        """
        while self._messages:
            hear(self._messages.popleft())
        self._hear = hear
        try:
            while not self._over():
                await self._news()
        finally:
            self._hear = self._messages.append

    def data_received(self, data: bytes) -> None:
        """Of `asyncio.Protocol`."""
        if self._error is not None:
            return
        self._buffer += data
        try:
            while (body := self._take()) is not None:
                self._hear(decode(body))
        except Exception as error:
            self._error = error
        if self._waiter is not None and (self._messages or self._error is not None):
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Of `asyncio.Protocol`."""
        self.at_eof = True
        if error is None and self._buffer:
            error = EngineFailure(f"the peer closed inside a frame: {len(self._buffer)} bytes of it came")
        self._error = self._error or error
        self._wake()

    def _over(self) -> bool:
        if self._error is not None:
            raise self._error
        return self.at_eof

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> bytes | None:
        """The first whole frame's body."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        _check_size(length)
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body


def _plain(event: EngineEvent) -> tuple[Any, ...]:
    """The event's fields in their order; what `_events` reads."""
    if isinstance(event, Tokens):
        return event.request_id, event.ids, [(each.id, each.logprob, each.top) for each in event.logprobs]
    return tuple(getattr(event, name) for name in _FIELDS[type(event)])


def _events(tokens: list[Any], finished: list[Any], progress: list[Any]) -> Events:
    """Every step of every stream comes through here: as little as possible."""
    return Events(
        [
            Tokens(
                id_, ids, [TokenLogprob(t, p, [tuple(a) for a in top]) for t, p, top in logprobs] if logprobs else []
            )
            for id_, ids, logprobs in tokens
        ],
        [Finished(id_, FinishReason(reason), *rest) for id_, reason, *rest in finished],
        [WindowProgress(*fields) for fields in progress],
    )


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    """`count` bytes, nothing at a clean end, fewer when the peer closed in between (an error for a header)."""
    chunks: list[bytes] = []
    missing = count
    while missing:
        chunk = sock.recv(min(missing, 1 << 20))
        if not chunk:
            break
        chunks.append(chunk)
        missing -= len(chunk)
    data = b"".join(chunks)
    if data and missing and count == _LENGTH.size:
        raise EngineFailure(f"the peer closed inside a frame's length: {len(data)} of {count} bytes came")
    return data


def _check_size(length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise EngineFailure(f"a frame of {length} bytes is larger than the {MAX_FRAME_BYTES} allowed")
