"""The engine process as the front sees it: requests in, events out, supervised and restarted with back-off.

Implements `front.ports.EngineLink`, and the windows' part for the profile registry. What is restored after a restart:
the model, a halt, the log level, the adapters and the arena's shrinkage. Requests in flight fail, and windows are
gone; their owners hear it from `on_change`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from genai_runtime.engine import frames
from genai_runtime.engine.child import EngineChild
from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.engine.stream import GenerationStream
from genai_runtime.engine.watch import EndingRequests, watch
from genai_runtime.errors import EngineFailure, InvalidRequest, RuntimeServerError
from genai_runtime.generation import FinishReason, GenerationRequest, WindowProgress

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_HEALTHY_SECONDS = 60.0  # an engine that lived that long starts a new series of pauses
_STOP_SECONDS = 5.0
_log = structlog.get_logger("genai_runtime.engine")


class EngineProcess:
    """Used from the event loop only. Calls that are not async return at once."""

    def __init__(
        self,
        spec: EngineSpec,
        engine: str = "auto",
        *,
        silence_seconds: float = 0.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        """`engine`: auto, batch, single or fake. `environment` is for the engine process only.

        One that hangs for `silence_seconds` is ended, so that a new one can serve; 0: never (`watch.py`).
        """
        self.info: ModelInfo | None = None
        self.restarts = 0
        self._spec, self._engine, self._environment = spec, engine, environment
        self._child: EngineChild | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._streams: dict[str, GenerationStream] = {}
        self._pings: dict[int, asyncio.Future[EngineStats]] = {}
        self._silence_seconds = silence_seconds
        self._ending = EndingRequests()
        self._watch: asyncio.Task[None] | None = None
        self._halted = False
        self._log_level = ""  # what the process was started with
        self._arena_shrinkage = False
        self._adapters: dict[str, Path] | None = None  # those of the spec
        self._adapter_listeners: list[Callable[[list[AdapterState]], None]] = []
        self._why_down = "the engine process has not been started"
        self._change_listeners: list[Callable[[bool], None]] = []
        self._window_listeners: list[Callable[[WindowProgress], None]] = []
        self._stats_listeners: list[Callable[[EngineStats], None]] = []

    @property
    def up(self) -> bool:
        """Whether there is a loaded engine."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """The engine process's id, while there is one that has loaded."""
        return self._child.pid if self._child else None

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """`listener` hears True when an engine has loaded (the first one too), False when it is gone."""
        self._change_listeners.append(listener)

    def on_window_progress(self, listener: Callable[[WindowProgress], None]) -> None:
        """`listener` hears what windows have captured, a few times a second at most, and their end."""
        self._window_listeners.append(listener)

    def on_stats(self, listener: Callable[[EngineStats], None]) -> None:
        """`listener` hears the engine's counts about once a second; after a restart they begin at 0 again."""
        self._stats_listeners.append(listener)

    async def start(self) -> ModelInfo:
        """Spawn, load, and supervise from now on. Raises `ModelUnusable`, or `EngineFailure` if it does not come up."""
        child, info = await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise(child), name="engine supervisor")
        return info

    def submit(self, *requests: GenerationRequest, max_unread_bytes: int = 2**20) -> GenerationStream:
        """Start generations that one stream tells of; a reader that leaves so much of it unread has them cancelled.

        Raises `EngineFailure` when there is no engine, `InvalidRequest` for the id of a request that it still has.
        """
        child = self._need_child()
        ids = [request.request_id for request in requests]
        for request_id in ids:
            if request_id in self._streams:
                raise InvalidRequest("request_id", f"{request_id} names a request that has not ended yet")
        stream = GenerationStream(ids, max_unread_bytes)
        for request in requests:
            child.send(frames.Submit(request))
            self._streams[request.request_id] = stream
        return stream

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End it with `reason`, inside a run if need be; its stream gets its `Finished`. Unknown ids are ignored."""
        if self._child and request_id in self._streams:
            self._ending.told(request_id)
            self._child.send(frames.Cancel(request_id, reason))

    def halt(self) -> None:
        """End everything with TERMINATED and refuse new requests the same way. Holds over restarts."""
        self._halted = True
        self._tell(frames.Halt())

    def resume(self) -> None:
        """Take requests again."""
        self._halted = False
        self._tell(frames.Resume())

    def set_log_level(self, level: str) -> None:
        """The engine process's own lines: debug, info, warning or error. Holds over restarts."""
        self._log_level = level
        self._tell(frames.SetLogLevel(level))

    def set_arena_shrinkage(self, on: bool) -> None:
        """Whether a prompt's runs give the arena's unused memory back. Holds over restarts."""
        self._arena_shrinkage = on
        self._tell(frames.SetArenaShrinkage(on))

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """Have these LoRA adapters and no others. What becomes of them is told to listeners. Holds over restarts."""
        self._adapters = wanted
        self._tell(frames.SetAdapters(wanted))

    def on_adapters(self, listener: Callable[[list[AdapterState]], None]) -> None:
        """`listener` hears of all adapters after `set_adapters`, and when one could be unloaded."""
        self._adapter_listeners.append(listener)

    def open_window(self, window: Window) -> None:
        """Profile every run from now on; an open window is closed first. Raises `EngineFailure` without an engine."""
        self._need_child().send(frames.OpenWindow(window))

    def close_window(self, reason: str) -> None:
        """Close the open window, if any; its last progress follows. Does nothing without an engine."""
        self._tell(frames.CloseWindow(reason))

    async def stats(self) -> EngineStats:
        """Ask the engine; the answer shows that all that was sent before has been applied or queued.

        Raises `EngineFailure` when there is no engine or it dies first.
        """
        child = self._need_child()
        number = max(self._pings, default=0) + 1
        future: asyncio.Future[EngineStats] = asyncio.get_running_loop().create_future()
        self._pings[number] = future
        child.send(frames.Ping(number))
        return await future

    async def stop(self) -> None:
        """End the process: running requests end with SHUTDOWN, an open window is closed, the model is freed."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        self._tell(frames.Shutdown())
        if self._child is not None:  # its farewell is read by the supervisor, which ends with it
            await asyncio.wait({supervisor}, timeout=_STOP_SECONDS)
        supervisor.cancel()
        self._stop_watch()
        await asyncio.wait({supervisor})
        child, self._child = self._child, None
        if child is not None:
            await child.end(0.0)
        self._fail_all("the engine process was stopped")

    async def _spawn(self) -> tuple[EngineChild, ModelInfo]:
        child = await EngineChild.spawn(self._environment)
        try:
            info = await child.load(self._spec, self._engine)
        except BaseException:
            await asyncio.shield(child.end(0.0))
            raise
        if self._halted:
            child.send(frames.Halt())
        if self._log_level:
            child.send(frames.SetLogLevel(self._log_level))
        if self._arena_shrinkage:
            child.send(frames.SetArenaShrinkage(on=True))
        if self._adapters is not None:
            child.send(frames.SetAdapters(self._adapters))
        self._child, self.info = child, info
        self._watch = asyncio.create_task(self._end_if_it_hangs(child), name="engine watch")
        self._announce(up=True)
        return child, info

    async def _supervise(self, child: EngineChild) -> None:
        """Read frames until the process dies; then say so, pause, and start another one."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            began = loop.time()
            why = await self._read_until_death(child)
            if self._supervisor is None:
                return
            if loop.time() - began > _HEALTHY_SECONDS:
                pause = _FIRST_PAUSE
            _log.error("engine process lost", reason=why, restart_in_seconds=pause)
            self._fail_all(why)
            self._announce(up=False)
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                try:
                    child, _ = await self._spawn()
                except (RuntimeServerError, OSError) as error:
                    self._why_down = f"the engine process could not be restarted: {error}"
                    _log.exception("engine process could not be restarted", restart_in_seconds=pause)
                else:
                    self.restarts += 1
                    break

    async def _read_until_death(self, child: EngineChild) -> str:
        when = "while it was serving"
        try:
            await child.listen(self._dispatch)
        except EngineFailure as error:
            when = f"{when} ({error.message})"
        self._child = None
        self._stop_watch()
        return await child.obituary(when)

    async def _end_if_it_hangs(self, child: EngineChild) -> None:
        why = await watch(self.stats, self._ending, self._silence_seconds, self._tell_stats)
        if why:
            _log.error("engine process hangs", reason=why, pid=child.pid)
            child.kill(why)

    def _tell_stats(self, stats: EngineStats) -> None:
        for listener in self._stats_listeners:
            listener(stats)

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _dispatch(self, message: frames.Message) -> None:
        match message:
            case frames.Events():
                self._dispatch_events(message)
            case frames.Adapters(states):
                for hear in self._adapter_listeners:
                    hear(states)
            case frames.Pong(number, stats):
                if (future := self._pings.pop(number, None)) and not future.done():
                    future.set_result(stats)
            case _:
                raise EngineFailure(f"the engine process sent {type(message).__name__} while it was serving")

    def _dispatch_events(self, events: frames.Events) -> None:
        for piece in events.tokens:
            stream = self._streams.get(piece.request_id)
            if stream is not None and not stream.put(piece):
                self._cut_off(stream)
        for end in events.finished:
            self._ending.ended(end.request_id)
            stream = self._streams.pop(end.request_id, None)
            if stream is not None:
                stream.put(end)
        for each in events.progress:
            for listener in self._window_listeners:
                listener(each)

    def _cut_off(self, stream: GenerationStream) -> None:
        """Nobody reads it: its requests end."""
        for request_id in stream.running:
            self.cancel(request_id, FinishReason.CANCELLED)

    def _need_child(self) -> EngineChild:
        if self._child is None:
            raise EngineFailure(self._why_down)
        return self._child

    def _tell(self, message: frames.ToEngine) -> None:
        if self._child is not None:
            self._child.send(message)

    def _fail_all(self, why: str) -> None:
        self._why_down = why
        self._ending.clear()
        streams, self._streams = self._streams, {}
        for stream in set(streams.values()):
            stream.fail(why)
        pings, self._pings = self._pings, {}
        for future in pings.values():
            if not future.done():
                future.set_exception(EngineFailure(why))

    def _announce(self, *, up: bool) -> None:
        for listener in self._change_listeners:
            listener(up)
