"""ControlService.Measure on a real server: what it answers, what it refuses, and that nothing is left of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc, inference_pb2
from genai_runtime.front.measuring import CLIENT
from genai_runtime.generation import FinishReason
from support.hello_server import HelloServer, hello_server
from support.runtime import Front, running_front

PROMPTS = ["Where does a model run?", "What is a profile?"]


@asynccontextmanager
async def measured(hello: HelloServer) -> AsyncIterator[Any]:
    """The control service's stub."""
    async with grpc.aio.insecure_channel(f"unix:{hello.server.addresses['control_socket']}") as channel:
        yield control_pb2_grpc.ControlServiceStub(channel)


def wanted(**changes: Any) -> pb.MeasureRequest:
    return pb.MeasureRequest(**{"prompts": PROMPTS, "max_tokens": 8, "repeats": 2, **changes})


@pytest.mark.model
@pytest.mark.parametrize("engine", ["batch", "single"])
async def test_a_measurement_tells_speeds_and_operators_and_leaves_nothing(tmp_path: Path, engine: str) -> None:
    async with hello_server(tmp_path, engine=engine) as hello, measured(hello) as control:
        found = await control.Measure(wanted())
        assert found.tokens_per_second > 0
        assert found.time_to_first_token_seconds > 0
        times = [each.microseconds_per_run for each in found.operators]
        assert times == sorted(times, reverse=True)
        assert times[0] > 0
        assert {each.provider for each in found.operators} == {"CPUExecutionProvider"}
        assert hello.profiles.list() == []
        requests = hello.server.metrics.registry.get_sample_value
        ends = [
            requests("genai_requests_total", {"method": "measure", "reason": end}) or 0 for end in ("length", "stop")
        ]
        assert sum(each or 0 for each in ends) == len(PROMPTS) * 3  # two repeats, and one with the operators timed
        again = await control.Measure(wanted(repeats=0))
        assert {each.op_type for each in again.operators} == {each.op_type for each in found.operators}


async def test_prompts_are_computed_whole_each_time(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.answer = [5, 6]
        with contextlib.suppress(grpc.aio.AioRpcError):  # two tokens at one moment have no speed
            await front.control.Measure(wanted())
        asked = [each.request for each in front.engine.streams.values() if each.request.client == CLIENT]
        assert len(asked) == len(PROMPTS) * 3
        assert all(each.fresh for each in asked)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompts": []}, "prompts"),
        ({"prompts": ["a"] * 17}, "prompts"),
        ({"prompts": [""]}, "prompt"),
        ({"max_tokens": 1}, "max_tokens"),
        ({"max_tokens": 513}, "max_tokens"),
        ({"repeats": 11}, "repeats"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    async with running_front(tmp_path) as front:
        with pytest.raises(grpc.aio.AioRpcError, match=field) as refused:
            await front.control.Measure(wanted(**change))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_halted_pod_is_not_measured(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        options = pb.RuntimeOptions(terminate_session=True)
        await front.control.SetRuntimeOptions(pb.SetRuntimeOptionsRequest(revision="1", options=options))
        with pytest.raises(grpc.aio.AioRpcError, match="terminate-session") as refused:
            await front.control.Measure(wanted())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_generation_that_is_ended_is_no_measurement(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        call = asyncio.ensure_future(front.control.Measure(wanted()))
        (running,) = await submitted(front, 1)
        front.engine.end(running, FinishReason.TERMINATED)
        with pytest.raises(grpc.aio.AioRpcError, match="ended early"):
            await call


async def test_a_measurement_goes_before_those_who_wait(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1) as front:
        front.engine.hold = True
        calls = [asyncio.ensure_future(read(front, name)) for name in ("runs", "waits")]
        await submitted(front, 1)
        await front.waiting(1)
        measurement = asyncio.ensure_future(front.control.Measure(wanted()))
        await front.waiting(2)
        front.engine.end("runs", FinishReason.STOP)
        _, second = await submitted(front, 2)
        assert second != "waits"
        measurement.cancel()
        front.engine.end(second, FinishReason.STOP)
        await submitted(front, 3)
        front.engine.end("waits", FinishReason.STOP)
        await asyncio.gather(*calls)


async def submitted(front: Front, count: int) -> list[str]:
    """The engine's requests in their order, as soon as there are so many."""
    await front.submitted(count)
    return list(front.engine.streams)


async def read(front: Front, request_id: str) -> None:
    request = inference_pb2.GenerateRequest(prompt="hi", request_id=request_id)
    async for _ in front.genai.Generate(request):
        pass
