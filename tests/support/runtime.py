"""A front process inside the test: real gRPC, real ports, and an engine whose moves the test decides."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from genai_protocol.v1 import control_pb2_grpc, inference_pb2, inference_pb2_grpc
from genai_runtime.engine.protocol import AdapterState, EngineStats, ModelInfo
from genai_runtime.engine.stream import GenerationStream
from genai_runtime.errors import EngineFailure, ModelUnusable, ProfileNotFound
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.server import RuntimeServer
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Tokens
from genai_runtime.profiling.record import Profile, ProfileState
from genai_runtime.profiling.summary import OperatorTime
from genai_runtime.profiling.timeline import Timeline
from genai_runtime.settings import Settings
from support.tiny_tokenizer import write_folder

INFO = ModelInfo(
    *("llama", 256, 320, 200, [2], 0, "scripted", "a test asked for it", "cpu", 1, "1.31.1", "0.18.0"),
    inter_op_threads=2,
    spinning=True,
    thread_cpus=[5],
)
SERVICE = "genai.v1.GenAIService"


class ScriptedRequest:
    """One submitted request; its events go to the stream of all that were submitted with it."""

    def __init__(self, request: GenerationRequest, stream: GenerationStream) -> None:
        self.request = request
        self.stream = stream

    @property
    def ended(self) -> bool:
        return self.request.request_id not in self.stream.running

    def put(self, event: Tokens | Finished) -> bool:
        return self.stream.put(event)


class ScriptedEngine:
    """Answers with `answer` ids, or waits for the test when `hold` is set; ends nothing it is told to when `deaf`."""

    def __init__(self) -> None:
        self.hold = self.deaf = False
        self.answer: list[int] = []
        self.streams: dict[str, ScriptedRequest] = {}
        self.cancelled: list[tuple[str, FinishReason]] = []
        self.calls: list[str] = []
        self.load_error: ModelUnusable | None = None
        self.loadable = asyncio.Event()
        self.loadable.set()
        self._listeners: list[Callable[[bool], None]] = []
        self._up = self._halted = False
        self.submitted = asyncio.Event()
        self.adapter_listeners: list[Callable[[list[AdapterState]], None]] = []
        self.stats_listeners: list[Callable[[EngineStats], None]] = []

    async def start(self) -> ModelInfo:
        await self.loadable.wait()
        if self.load_error is not None:
            raise self.load_error
        self.come_back()
        return INFO

    def on_change(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def on_stats(self, listener: Callable[[EngineStats], None]) -> None:
        self.stats_listeners.append(listener)

    def submit(self, *requests: GenerationRequest, max_unread_bytes: int = 2**20) -> GenerationStream:
        if not self._up:
            raise EngineFailure("there is no engine")
        stream = GenerationStream([request.request_id for request in requests], max_unread_bytes)
        for request in requests:
            self.streams[request.request_id] = ScriptedRequest(request, stream)
        for request in requests:
            self._answer(request, stream)
        self.submitted.set()
        return stream

    def _answer(self, request: GenerationRequest, stream: GenerationStream) -> None:
        if self._halted:
            self.end(request.request_id, FinishReason.TERMINATED)
        elif not self.hold:
            for id_ in self.answer[: request.max_tokens]:
                stream.put(Tokens(request.request_id, [id_]))
            self.end(request.request_id, FinishReason.STOP)

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        self.cancelled.append((request_id, reason))
        if not self.deaf:
            self.end(request_id, reason)

    def halt(self) -> None:
        self.calls.append("halt")
        self._halted = True
        for request_id in self.streams:
            self.end(request_id, FinishReason.TERMINATED)

    def resume(self) -> None:
        self.calls.append("resume")
        self._halted = False

    def set_log_level(self, level: str) -> None:
        self.calls.append(f"log {level}")

    def set_arena_shrinkage(self, on: bool) -> None:
        self.calls.append(f"arena {on:d}")

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        self.calls.append(f"adapters {sorted(wanted)}")
        for hear in self.adapter_listeners:
            hear([AdapterState(name, "loaded") for name in sorted(wanted)])

    def on_adapters(self, listener: Callable[[list[AdapterState]], None]) -> None:
        self.adapter_listeners.append(listener)

    async def stop(self) -> None:
        self.calls.append("stop")

    def end(self, request_id: str, reason: FinishReason, message: str = "") -> None:
        """Finish a request, once."""
        stream = self.streams.get(request_id)
        if stream is not None and not stream.ended:
            stream.put(Finished(request_id, reason, len(stream.request.prompt), 0, message=message))

    def crash(self) -> None:
        """The process dies under its requests."""
        self._up = False
        for listener in self._listeners:
            listener(False)
        for stream in self.streams.values():
            if not stream.ended:
                stream.stream.fail("the engine process was killed by signal 11")

    def come_back(self) -> None:
        """A new process has loaded."""
        self._up = True
        for listener in self._listeners:
            listener(True)


class RecordedProfiles:
    """A registry that keeps windows in a list, and one trace file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.timeline = Timeline()
        self.profiles: list[Profile] = []
        self.wanted: list[WantedWindow] = []

    async def open(self, wanted: WantedWindow) -> None:
        self.calls.append(f"open {wanted.label}")
        self.wanted.append(wanted)
        number = len(self.profiles) + 1
        self.profiles.insert(
            0, Profile(f"{wanted.label}-20260101T000000Z-{number}", wanted.label, ProfileState.OPEN, 1)
        )

    async def close(self, reason: str) -> None:
        self.calls.append(f"close {reason}")

    async def close_all(self, reason: str) -> None:
        await self.close(reason)

    async def open_with_id(self, window_id: str, wanted: WantedWindow) -> Profile:
        if (known := self.with_id(window_id)) is None:
            await self.open(wanted)
            known = self.profiles[0] = replace(self.profiles[0], window_id=window_id)
        return known

    async def close_with_id(self, window_id: str) -> Profile:
        if (known := self.with_id(window_id)) is None:
            raise ProfileNotFound(f"no window {window_id!r}")
        return known

    def with_id(self, window_id: str) -> Profile | None:
        return next((each for each in self.profiles if each.window_id == window_id), None)

    def newest(self) -> Profile | None:
        return self.profiles[0] if self.profiles else None

    def list(self) -> list[Profile]:
        return self.profiles

    def trace_path(self, profile_id: str) -> Path:
        path = self.folder / "trace.json.gz"
        if not path.exists():
            raise ProfileNotFound(f"no complete profile {profile_id!r}")
        return path

    async def open_unless_busy(self, wanted: WantedWindow, trigger: str) -> Profile:
        await self.open(wanted)
        self.profiles[0] = replace(self.profiles[0], trigger=trigger)
        return self.profiles[0]

    def on_end(self, listener: Callable[[Profile], Profile]) -> None:
        self.listener = listener

    async def operators(
        self, work: Callable[[], Awaitable[None]], most_runs: int, client: str = ""
    ) -> tuple[OperatorTime, ...]:
        await work()
        return (OperatorTime("MatMul", "CPUExecutionProvider", 10.0),)

    async def start(self) -> None:
        self.calls.append("start")

    async def stop(self) -> None:
        self.calls.append("stop")

    async def settle(self) -> None:
        self.calls.append("settle")


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process or task does; the test's own time limit bounds it."""
    while not await condition():  # noqa: ASYNC110 - there is nothing that could set an event
        await asyncio.sleep(0.005)


async def holds(condition: Callable[[], bool]) -> None:
    """As `eventually`, for what can be asked without waiting."""

    async def asked() -> bool:
        return condition()

    await eventually(asked)


async def collect(call: Any) -> tuple[list[Any], grpc.aio.AioRpcError | None]:
    """All messages of a stream, and the error that ended it."""
    messages: list[Any] = []
    try:
        async for message in call:
            messages.append(message)
    except grpc.aio.AioRpcError as error:
        return messages, error
    return messages, None


class Front:
    """A running server and its clients."""

    def __init__(self, server: RuntimeServer, engine: ScriptedEngine, profiles: RecordedProfiles, task: Any) -> None:
        self.server = server
        self.engine = engine
        self.profiles = profiles
        self.task: asyncio.Task[None] = task
        self.channel = grpc.aio.insecure_channel(server.addresses["grpc"])
        self.control_channel = grpc.aio.insecure_channel(f"unix:{server.addresses['control_socket']}")
        self.genai = inference_pb2_grpc.GenAIServiceStub(self.channel)
        self.control = control_pb2_grpc.ControlServiceStub(self.control_channel)

    async def until(self, state: "inference_pb2.ServingState.ValueType") -> None:
        """Wait for a serving state."""

        async def reached() -> bool:
            return bool((await self.genai.GetModel(inference_pb2.GetModelRequest())).state == state)

        await eventually(reached)

    async def submitted(self, count: int = 1) -> None:
        """Wait until the engine has seen so many requests, the warm-up apart."""
        streams = self.engine.streams
        await holds(lambda: sum(not name.startswith("warmup") for name in streams) >= count)

    async def cancelled(self, request_id: str, reason: FinishReason) -> None:
        """Wait until the engine was told to end this request."""
        await holds(lambda: (request_id, reason) in self.engine.cancelled)

    async def waiting(self, count: int) -> None:
        """Wait until so many requests are in the queue."""
        registry = self.server.metrics.registry
        await holds(lambda: registry.get_sample_value("genai_requests_waiting") == count)


def model_folder(folder: Path) -> Path:
    """The front's half of a model folder."""
    write_folder(folder)
    (folder / "genai_config.json").write_text(json.dumps({"model": {"type": "llama"}, "search": {"do_sample": False}}))
    return folder


def settings_for(tmp_path: Path, **changes: Any) -> Settings:
    """Free ports, short waits, own folders; nothing from the environment."""
    values: dict[str, Any] = {
        "grpc_port": 0,
        "http_port": 0,
        "metrics_port": 0,
        "run_dir": tmp_path / "run",
        "profile_dir": tmp_path / "profiles",
        "drain_seconds": 5.0,
        "connection_seconds": 0.0,
        "max_concurrent_requests": 2,
        "max_queue_length": 2,
        "warmup_prompts": [],
    }
    return Settings(**{**values, **changes})


@asynccontextmanager
async def running_front(
    tmp_path: Path, *, engine: ScriptedEngine | None = None, wait: bool = True, **changes: Any
) -> AsyncIterator[Front]:
    """A server that is serving (unless not `wait`), and is stopped at the end."""
    engine = engine or ScriptedEngine()
    profiles = RecordedProfiles(tmp_path)
    server = RuntimeServer(
        settings_for(tmp_path, **changes), model_folder(tmp_path / "model"), "hello", engine, profiles
    )
    task = asyncio.create_task(server.run())
    front = Front(server, engine, profiles, task)
    try:
        if wait:
            await front.until(inference_pb2.SERVING_STATE_SERVING)
        yield front
    finally:
        server.request_stop()
        server.request_stop()
        await asyncio.gather(task, return_exceptions=True)
        await front.channel.close()
        await front.control_channel.close()
