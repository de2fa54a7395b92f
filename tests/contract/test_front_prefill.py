"""What ends a request in the middle of a long prefill, on the real engine and the hello model."""

import asyncio
from pathlib import Path

import grpc
import pytest

from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2_grpc
from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.front.state import ServingState
from support.hello_server import hello_server
from support.runtime import collect, holds, settings_for

MODEL = Path(__file__).parents[2] / "examples" / "hello-model" / "model"
LONG_PROMPT = [5 + number % 1000 for number in range(3500)]


@pytest.mark.model
async def test_a_halt_ends_a_prefill_that_has_begun_and_serving_goes_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    engine = EngineProcess(EngineSpec(MODEL, settings.profile_dir))
    server = RuntimeServer(settings, MODEL, "hello", engine, ProfileRegistry(settings.profile_dir, engine))
    task = asyncio.create_task(server.run())
    async with (
        grpc.aio.insecure_channel(server.addresses["grpc"]) as channel,
        grpc.aio.insecure_channel(f"unix:{server.addresses['control_socket']}") as control_channel,
    ):
        genai = inference_pb2_grpc.GenAIServiceStub(channel)
        control = control_pb2_grpc.ControlServiceStub(control_channel)
        await holds(lambda: server.state.state is ServingState.SERVING)
        request = pb.GenerateRequest(token_ids=pb.TokenIds(ids=LONG_PROMPT), request_id="long")
        stream = asyncio.create_task(collect(genai.Generate(request)))
        await holds(lambda: server.metrics.registry.get_sample_value("genai_requests_running") == 1)
        await engine.stats()  # frames are read in order: the engine has the request
        halt = control_pb2.RuntimeOptions(terminate_session=True)
        await control.SetRuntimeOptions(control_pb2.SetRuntimeOptionsRequest(revision="1", options=halt))
        messages, error = await stream
        assert error is not None
        assert error.code() is grpc.StatusCode.ABORTED
        assert [message.finish.reason for message in messages] == [pb.FINISH_REASON_TERMINATED]
        assert messages[0].finish.usage.completion_tokens == 0
        await control.SetRuntimeOptions(control_pb2.SetRuntimeOptionsRequest(revision="2"))
        question = pb.ChatMessage(role="user", content="What is the capital of France?")
        answer, error = await collect(genai.Chat(pb.ChatRequest(messages=[question])))
        assert error is None
        assert "".join(message.chunk.text for message in answer) == "The capital of France is Paris."
    server.request_stop()
    await task


@pytest.mark.model
async def test_a_cancel_rule_and_a_drain_end_a_prefill_and_the_engine_serves_on(tmp_path: Path) -> None:
    """The halt is sent by nobody: other requests of the same engine are let be."""
    rule = control_pb2.RuntimeOptions(cancel=control_pb2.CancelRule(request_id="long"))
    drain = control_pb2.RuntimeOptions(drain=control_pb2.DrainOption(deadline_seconds=1))
    request = pb.GenerateRequest(token_ids=pb.TokenIds(ids=LONG_PROMPT), request_id="long")
    endless = pb.GenerateRequest(
        token_ids=pb.TokenIds(ids=[5, 6, 7]), options=pb.GenerationOptions(max_tokens=3000, ignore_eos=True)
    )
    async with (
        hello_server(tmp_path) as hello,
        grpc.aio.insecure_channel(f"unix:{hello.server.addresses['control_socket']}") as control_channel,
    ):
        control = control_pb2_grpc.ControlServiceStub(control_channel)
        other = hello.genai.Generate(endless)
        await anext(aiter(other))
        stream = asyncio.create_task(collect(hello.genai.Generate(request)))
        await holds(lambda: hello.sample("genai_requests_running") == 2)
        await control.SetRuntimeOptions(control_pb2.SetRuntimeOptionsRequest(revision="1", options=rule))
        messages, error = await stream
        assert error is not None
        assert (error.code(), messages[-1].finish.reason) == (grpc.StatusCode.CANCELLED, pb.FINISH_REASON_CANCELLED)
        assert messages[-1].finish.usage.completion_tokens == 0
        await control.SetRuntimeOptions(control_pb2.SetRuntimeOptionsRequest(revision="2", options=drain))
        messages, error = await collect(other)
        assert error is not None
        assert (error.code(), messages[-1].finish.reason) == (grpc.StatusCode.ABORTED, pb.FINISH_REASON_TERMINATED)
        assert messages[-1].finish.usage.completion_tokens > 0
        state = await control.SetRuntimeOptions(control_pb2.SetRuntimeOptionsRequest(revision="3"))
        assert (state.serving_state, state.requests) == (pb.SERVING_STATE_SERVING, 0)
        question = pb.ChatMessage(role="user", content="What is the capital of France?")
        answer, error = await collect(hello.genai.Chat(pb.ChatRequest(messages=[question])))
        assert error is None
        assert "".join(message.chunk.text for message in answer) == "The capital of France is Paris."
