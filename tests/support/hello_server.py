"""The whole model server inside a test: real ports, the real engine process, the hello model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2_grpc
from genai_runtime.engine.process import EngineProcess
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.front.state import ServingState
from support.engines import HELLO_MODEL, hello_spec
from support.runtime import holds, settings_for


@dataclass
class HelloServer:
    """A server that serves, and one client's channel to it."""

    server: RuntimeServer
    profiles: ProfileRegistry
    address: str
    channel: grpc.aio.Channel

    @property
    def genai(self) -> Any:
        """The genai.v1 stub."""
        return inference_pb2_grpc.GenAIServiceStub(self.channel)

    def sample(self, name: str) -> float | None:
        """A metric's value."""
        return self.server.metrics.registry.get_sample_value(name)


@asynccontextmanager
async def hello_server(
    tmp_path: Path, *, rows: int = 16, halted: bool = False, **changes: Any
) -> AsyncIterator[HelloServer]:
    """Up and warm; ends with the block. `changes` are settings; `halted`: told to halt before it has loaded."""
    settings = settings_for(tmp_path, **{"max_concurrent_requests": rows, "max_queue_length": 64, **changes})
    engine = EngineProcess(hello_spec(settings.profile_dir, max_concurrent=rows), settings.engine)
    registry = ProfileRegistry(settings.profile_dir, engine)
    server = RuntimeServer(settings, HELLO_MODEL, "hello", engine, registry)
    task = asyncio.create_task(server.run())
    try:
        if halted:
            await _halt(server.addresses["control_socket"])
        wanted = ServingState.HALTED if halted else ServingState.SERVING
        await holds(lambda: server.state.state is wanted or task.done())
        async with grpc.aio.insecure_channel(server.addresses["grpc"]) as channel:
            yield HelloServer(server, registry, server.addresses["grpc"], channel)
    finally:
        server.request_stop()
        server.request_stop()
        await task


async def _halt(socket: str) -> None:
    options = control_pb2.RuntimeOptions(terminate_session=True)
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = control_pb2_grpc.ControlServiceStub(channel)
        request = control_pb2.SetRuntimeOptionsRequest(revision="halted", options=options)
        await stub.SetRuntimeOptions(request, wait_for_ready=True)
