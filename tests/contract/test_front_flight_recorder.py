"""The flight recorder on a real server: an objective that nothing can meet opens a window, once, and says what grew."""

import asyncio
from pathlib import Path

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc, inference_pb2
from genai_runtime.front.flight_recorder import LABEL
from genai_runtime.profiling.record import ProfileState
from support.hello_server import HelloServer, hello_server
from support.runtime import holds

pytestmark = pytest.mark.model


async def generate(hello: HelloServer) -> None:
    """One request after the other, until cancelled."""
    while True:
        request = inference_pb2.GenerateRequest(prompt="Tell me an endless story.")
        request.options.max_tokens, request.options.ignore_eos = 40, True
        async for _ in hello.genai.Generate(request):
            pass


async def test_a_missed_objective_leaves_a_profile_that_says_why(tmp_path: Path) -> None:
    async with (
        hello_server(tmp_path, warmup_prompts=["Hello"]) as hello,
        grpc.aio.insecure_channel(f"unix:{hello.server.addresses['control_socket']}") as channel,
    ):
        control = control_pb2_grpc.ControlServiceStub(channel)
        wanted = pb.FlightRecorderOption(inter_token_p99_seconds=1e-6, for_seconds=1, max_per_hour=1)
        options = pb.RuntimeOptions(flight_recorder=wanted)
        state = await control.SetRuntimeOptions(pb.SetRuntimeOptionsRequest(revision="1", options=options))
        assert list(state.unsupported) == []
        load = asyncio.create_task(generate(hello))
        try:
            await holds(lambda: bool(hello.profiles.list()))
            await holds(lambda: hello.profiles.list()[0].runs > 0)
            await hello.profiles.close("disabled")
            await hello.profiles.settle()
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        (found,) = (await control.ListProfiles(pb.ListProfilesRequest())).profiles
        assert (found.label, found.state, found.window_id) == (LABEL, pb.PROFILE_STATE_COMPLETE, "")
        assert found.trigger.startswith("p99 of the time between two tokens was ")
        assert "over 0.001 ms for 1 s" in found.trigger
        for each in found.grown:
            assert each.microseconds_per_run > each.before_microseconds_per_run
        kept = hello.profiles.list()[0]
        assert kept.state is ProfileState.COMPLETE
        assert kept.trigger == found.trigger
