"""What happens to streams when the pod is told to go."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc
from genai_runtime.errors import EngineFailure, ModelUnusable
from genai_runtime.generation import FinishReason, Tokens
from support.http_front import http_front
from support.runtime import SERVICE, Front, ScriptedEngine, eventually, running_front
from support.tiny_tokenizer import byte_level

PARIS = byte_level().encode("Paris").ids


def chat(front: Front, request_id: str) -> Any:
    message = pb.ChatMessage(role="user", content="hi")
    return front.genai.Chat(pb.ChatRequest(messages=[message], request_id=request_id))


async def outcome(call: Any) -> tuple[list[str], list[int], grpc.StatusCode]:
    """Texts, finish reasons, status."""
    texts, reasons = [], []
    try:
        async for message in call:
            texts.append(message.chunk.text)
            reasons += [message.finish.reason] if message.HasField("finish") else []
    except grpc.aio.AioRpcError as error:
        return texts, reasons, error.code()
    return texts, reasons, grpc.StatusCode.OK


async def test_running_and_waiting_streams_finish_and_new_ones_are_sent_away(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1, drain_seconds=60) as front:
        front.engine.hold = True
        running = asyncio.create_task(outcome(chat(front, "running")))
        await front.submitted()
        waiting = asyncio.create_task(outcome(chat(front, "waiting")))
        await front.waiting(1)
        front.server.request_stop()
        await front.until(pb.SERVING_STATE_DRAINING)
        stub = health_pb2_grpc.HealthStub(front.channel)
        ready = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        assert ready.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await outcome(chat(front, "new")) == ([], [], grpc.StatusCode.UNAVAILABLE)
        front.engine.hold = False
        front.engine.answer = PARIS
        front.engine.streams["running"].put(Tokens("running", PARIS))
        front.engine.end("running", FinishReason.STOP)
        for task in (running, waiting):
            texts, reasons, code = await task
            assert ("".join(texts), reasons, code) == ("Paris", [pb.FINISH_REASON_STOP], grpc.StatusCode.OK)
        await front.task
        assert front.engine.calls[-1] == "stop"


async def test_who_is_connected_is_served_until_told_to_go(tmp_path: Path) -> None:
    async with running_front(tmp_path, connection_seconds=3600, drain_seconds=7200) as front:
        front.engine.answer = PARIS
        front.server.request_stop()
        await front.until(pb.SERVING_STATE_DRAINING)
        stub = health_pb2_grpc.HealthStub(front.channel)
        ready = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        assert ready.status == health_pb2.HealthCheckResponse.NOT_SERVING
        texts, _, code = await outcome(chat(front, "known"))
        assert ("".join(texts), code) == ("Paris", grpc.StatusCode.OK)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(front.server.addresses["grpc"], options=options) as late:
            with pytest.raises(grpc.aio.AioRpcError, match="refused"):
                await inference_pb2_grpc.GenAIServiceStub(late).GetModel(pb.GetModelRequest())
        # Nobody is left, so there is nothing to wait for.
        await front.channel.close()
        await front.task


async def test_old_connections_end_by_themselves_and_running_streams_go_on(tmp_path: Path) -> None:
    async with running_front(tmp_path, connection_seconds=1, drain_seconds=3600) as front:
        front.engine.hold = True
        running = asyncio.create_task(outcome(chat(front, "running")))
        await front.submitted()
        front.server.request_stop()

        async def sent_away() -> bool:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return not await front.genai.GetModel(pb.GetModelRequest())
            return True

        # Its connection takes no more calls, and there is no other way in.
        await eventually(sent_away)
        assert not running.done()
        front.engine.streams["running"].put(Tokens("running", PARIS))
        front.engine.end("running", FinishReason.STOP)
        assert await running == (["Paris", ""], [pb.FINISH_REASON_STOP], grpc.StatusCode.OK)
        await front.task


async def test_http_connections_end_with_their_next_answer(tmp_path: Path) -> None:
    async with http_front(tmp_path, connection_seconds=3600, drain_seconds=7200) as http:
        front = http.front
        reader, writer = await asyncio.open_connection("127.0.0.1", http.port)

        async def ask() -> bytes:
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            return head.lower()

        assert b"connection: close" not in await ask()
        front.server.request_stop()
        await front.until(pb.SERVING_STATE_DRAINING)
        head = await ask()
        assert head.startswith(b"http/1.1 200")
        assert b"connection: close" in head
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", http.port)
        await front.channel.close()
        await front.task


async def test_streams_that_do_not_fit_get_a_typed_end(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1, drain_seconds=0.05) as front:
        front.engine.hold = True
        running = asyncio.create_task(outcome(chat(front, "running")))
        await front.submitted()
        waiting = asyncio.create_task(outcome(chat(front, "waiting")))
        await front.waiting(1)
        front.server.request_stop()
        assert await running == ([""], [pb.FINISH_REASON_SHUTDOWN], grpc.StatusCode.UNAVAILABLE)
        assert await waiting == ([], [], grpc.StatusCode.UNAVAILABLE)
        await front.task


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    async with running_front(tmp_path, drain_seconds=3600) as front:
        front.engine.hold = True
        running = asyncio.create_task(outcome(chat(front, "running")))
        await front.submitted()
        front.server.request_stop()
        await front.until(pb.SERVING_STATE_DRAINING)
        front.server.request_stop()
        assert (await running)[1:] == ([pb.FINISH_REASON_SHUTDOWN], grpc.StatusCode.UNAVAILABLE)
        await front.task


async def test_an_open_window_is_closed_and_merged_before_the_engine_goes(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.server.request_stop()
        await front.task
        assert front.profiles.calls == ["start", "close shutdown", "settle", "stop"]


async def test_stopping_while_loading_is_a_clean_end(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with running_front(tmp_path, engine=engine, wait=False) as front:
        await front.until(pb.SERVING_STATE_LOADING)
        front.server.request_stop()
        await front.task


async def test_a_model_that_cannot_be_loaded_ends_the_server_with_its_reason(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.load_error = ModelUnusable("ModelInvalid", "model.onnx is damaged")
    async with running_front(tmp_path, engine=engine, wait=False) as front:
        with pytest.raises(ModelUnusable, match="damaged"):
            await front.task


async def test_an_engine_that_cannot_generate_ends_the_server(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.hold = True
    async with running_front(tmp_path, engine=engine, wait=False, warmup_prompts=["one"]) as front:
        for _ in range(3):
            await engine.submitted.wait()
            engine.submitted.clear()
            engine.crash()
            engine.come_back()
        with pytest.raises(EngineFailure, match="3 warm-ups failed"):
            await front.task
