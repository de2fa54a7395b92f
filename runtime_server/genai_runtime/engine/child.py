"""One engine process, from its spawn to its death, as an event loop sees it: frames in, frames out, why it ended.

Restarting and requests are the supervisor's (`process.py`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial

import structlog

from genai_runtime.engine import frames
from genai_runtime.engine.protocol import EngineSpec, ModelInfo
from genai_runtime.errors import EngineFailure, ModelUnusable

ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    # Numpy's own threads, one a core of the node, have nothing to do.
    "OPENBLAS_NUM_THREADS": "1",
    # Weights lie side by side in huge pages: a decode run reads all of them (docs/decisions/0007).
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296",
}
_log = structlog.get_logger("genai_runtime.engine")


class EngineChild:
    """A running engine process. Made by `spawn`; used from the event loop only."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        transport: asyncio.Transport,
        reader: frames.FrameReader,
    ) -> None:
        self._process = process
        self._transport = transport
        self._reader = reader
        self._fatal = ""
        self._killed_because = ""

    @classmethod
    async def spawn(cls, environment: dict[str, str] | None = None) -> "EngineChild":
        """Start a process that waits for its `Load`. `environment` is added to this process's."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "genai_runtime.engine.worker"),
                *("--fd", str(theirs.fileno()), "--parent", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **ENVIRONMENT, **(environment or {})},
            )
            transport, reader = await asyncio.get_running_loop().create_connection(frames.FrameReader, sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, transport, reader)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def load(self, spec: EngineSpec, engine: str) -> ModelInfo:
        """Load the model. Raises `ModelUnusable`, or `EngineFailure` if the process ends instead of answering."""
        self.send(frames.Load(spec, engine))
        match await self._receive():
            case frames.Loaded(info):
                return info
            case frames.LoadFailed(reason, message):
                raise ModelUnusable(reason, message)
            case None:
                raise EngineFailure(await self.obituary("while it was loading the model"))
            case other:
                raise EngineFailure(f"the engine process answered {type(other).__name__} to being told to load")

    def send(self, message: frames.ToEngine) -> None:
        """Queue one frame; lost if the process is gone, which `listen` tells."""
        if not self._transport.is_closing():
            self._transport.write(frames.encode(message))

    async def listen(self, hear: Callable[[frames.Message], None]) -> None:
        """`hear` gets every frame until the process is gone. Raises `EngineFailure` for one that cannot be read."""
        with self._until_gone():
            await self._reader.listen(partial(self._hear, hear))

    async def _receive(self) -> frames.Message | None:
        """The next frame; None when the process is gone. Raises `EngineFailure` for one that cannot be read."""
        with self._until_gone():
            message = await self._reader.receive()
            if not isinstance(message, frames.Fatal):
                return message
            self._fatal = message.message
        return None

    def _hear(self, hear: Callable[[frames.Message], None], message: frames.Message) -> None:
        if isinstance(message, frames.Fatal):
            self._fatal = message.message
            self._transport.abort()  # nothing will follow
        else:
            hear(message)

    @contextlib.contextmanager
    def _until_gone(self) -> Iterator[None]:
        """However the connection ended: that the process is gone is no error here."""
        try:
            yield
        except (ConnectionError, EngineFailure) as error:
            if isinstance(error, EngineFailure) and not self._reader.at_eof:
                raise

    async def obituary(self, when: str) -> str:
        """Reap the process (killing it if it lingers) and say how it ended, for people."""
        code = await self.end(0.5)
        if self._killed_because:
            return f"the engine process was ended {when}: {self._killed_because}"
        if self._fatal:
            return f"the engine process failed {when}: {self._fatal}"
        if code == -signal.SIGKILL:
            return f"the engine process was killed {when} (SIGKILL); the usual cause is the memory limit"
        if code < 0:
            return f"the engine process crashed {when} ({signal.Signals(-code).name})"
        return f"the engine process ended {when} with exit status {code}"

    def kill(self, why: str) -> None:
        """At once; `obituary` will say why."""
        self._killed_because = why
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self, grace: float) -> int:
        """Close the connection, wait `grace` seconds, then kill. Returns the exit status, -N for a signal."""
        self._transport.close()
        try:
            async with asyncio.timeout(grace):
                return await self._process.wait()
        except TimeoutError:
            _log.warning("engine process does not end; killing it", pid=self.pid, grace_seconds=grace)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()
