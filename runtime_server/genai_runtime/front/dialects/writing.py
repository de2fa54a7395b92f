"""Writing a gRPC stream's messages to a client that may be slow or gone. What is written is the dialect's business."""

import asyncio
from types import TracebackType
from typing import Any, Self

import grpc

from genai_runtime.front.dialects.status import Context


class ClientGone(Exception):
    """The stream cannot be written any more: cancelled, disconnected, or past its deadline."""


class SlowReader(Exception):
    """The client took no message for the longest time allowed; it keeps an engine slot. The text says so."""


class StreamWriter:
    """Writes one call's messages, one at a time; a context manager, used by the call's own tasks.

    One timer a stream watches all its writes: a timeout for each would cost more than the message.
    """

    def __init__(self, context: Context, seconds: float) -> None:
        """`seconds`: the longest time that one message may take."""
        self._write = context.write
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None  # who writes now
        self._since = 0.0
        self._suspect = 0.0  # the `_since` of a write that was found overdue once
        self._overdue = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(self._seconds, self._check)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def write(self, message: Any) -> None:
        """Raises `SlowReader` and `ClientGone`. The message may be reused when this returns."""
        self._since = self._loop.time()
        self._task = asyncio.current_task(self._loop)
        try:
            await self._write(message)
        except asyncio.CancelledError:
            if not self._overdue or self._task is None:
                raise
            self._task.uncancel()
            raise SlowReader(f"the client took no message for {self._seconds:g} s") from None
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise ClientGone from error
        finally:
            self._task = None

    def _check(self) -> None:
        """Overdue is a write that is found so twice: the first time the event loop may have been what was late."""
        left = self._seconds
        if self._task is None:
            self._suspect = 0.0
        else:
            left -= self._loop.time() - self._since
            if left <= 0 and self._suspect == self._since:
                self._overdue = True
                self._task.cancel()
                return
            self._suspect = self._since if left <= 0 else 0.0
        self._timer = self._loop.call_later(left if left > 0 else self._seconds / 10, self._check)
