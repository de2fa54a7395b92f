"""The engine process is killed under sixteen real streams."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import psutil
import pytest

from genai_protocol.v1 import inference_pb2 as pb
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, holds

pytestmark = pytest.mark.model


def engine_pid() -> int:
    """The one child of this process that is the engine; those of earlier tests may wait to be reaped."""
    (child,) = [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and any("genai_runtime.engine" in part for part in child.cmdline())
    ]
    return child.pid


async def killed_under_sixteen(hello: HelloServer) -> None:
    options = pb.GenerationOptions(max_tokens=4000, ignore_eos=True)
    streams = [
        asyncio.create_task(
            collect(hello.genai.Generate(pb.GenerateRequest(prompt=f"Story {number}", options=options)))
        )
        for number in range(16)
    ]
    await holds(lambda: hello.sample("genai_requests_running") == 16)
    os.kill(engine_pid(), signal.SIGKILL)
    for responses, error in await asyncio.gather(*streams):
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "SIGKILL" in (error.details() or "")
        assert [response.finish.reason for response in responses if response.HasField("finish")] == [
            pb.FINISH_REASON_ERROR
        ]


async def test_every_stream_ends_and_the_next_request_is_served(tmp_path: Path) -> None:
    async with hello_server(tmp_path) as hello:
        await killed_under_sixteen(hello)
        refused, error = await collect(hello.genai.Generate(pb.GenerateRequest(prompt="a")))
        assert refused == []
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        await holds(lambda: hello.server.state.ready)
        request = pb.GenerateRequest(prompt="The capital of France is")
        responses, error = await collect(hello.genai.Generate(request))
        assert error is None
        assert "".join(response.chunk.text for response in responses) == " Paris."
        assert hello.sample("genai_engine_restarts_total") == 1
