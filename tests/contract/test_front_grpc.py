"""GenAIService over real gRPC: what clients get, in every way that a stream can end."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.generation import FinishReason, Tokens
from support.runtime import SERVICE, Front, ScriptedEngine, collect, running_front
from support.tiny_tokenizer import byte_level

TOKENIZER = byte_level()
PARIS = TOKENIZER.encode("Paris 👍").ids
Response = pb.GenerateResponse


def chat(text: str = "the capital?", **fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(messages=[pb.ChatMessage(role="user", content=text)], **fields)


async def refused(call: Any) -> grpc.aio.AioRpcError:
    responses, error = await collect(call)
    assert responses == []
    assert error is not None
    return error


def detail(error: grpc.aio.AioRpcError, kind: type[Any]) -> Any:
    """The google.rpc detail of this kind."""
    metadata = dict(error.trailing_metadata() or ())
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    found = kind()
    assert status.details[0].Unpack(found)
    return found


def finish_of(responses: list[Response]) -> pb.Finish:
    """The one Finish, which is the last message."""
    assert [response.WhichOneof("event") for response in responses].count("finish") == 1
    assert responses[-1].HasField("finish")
    return responses[-1].finish


async def test_chat_streams_text_ids_usage_and_timings(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.answer = PARIS
        responses, error = await collect(front.genai.Chat(chat(request_id="r-1")))
    assert error is None
    finish = finish_of(responses)
    assert "".join(response.chunk.text for response in responses) == "Paris 👍"
    assert [id_ for response in responses for id_ in response.chunk.token_ids] == PARIS
    assert {response.request_id for response in responses} == {"r-1"}
    assert finish.reason == pb.FINISH_REASON_STOP
    prompt = front.engine.streams["r-1"].request.prompt
    assert TOKENIZER.decode(prompt) == "user\nthe capital?\nassistant\n"
    assert (finish.usage.prompt_tokens, finish.usage.completion_tokens) == (len(prompt), len(PARIS))
    assert 0 < finish.timings.time_to_first_token_seconds <= finish.timings.total_seconds


async def test_generate_continues_texts_and_ids(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        for name, fields in {"text": {"prompt": "a\x00b"}, "ids": {"token_ids": pb.TokenIds(ids=[5, 6])}}.items():
            responses, error = await collect(front.genai.Generate(pb.GenerateRequest(request_id=name, **fields)))
            assert error is None
            assert finish_of(responses).reason == pb.FINISH_REASON_STOP
        assert front.engine.streams["text"].request.prompt == TOKENIZER.encode("a\x00b").ids
        assert front.engine.streams["ids"].request.prompt == [5, 6]


async def test_options_reach_the_engine(tmp_path: Path) -> None:
    options = pb.GenerationOptions(max_tokens=3, temperature=0.5, top_k=7, top_p=0.25, repetition_penalty=1.5, seed=9)
    async with running_front(tmp_path) as front:
        front.engine.answer = PARIS
        responses, _ = await collect(front.genai.Chat(chat(request_id="r", options=options)))
        request = front.engine.streams["r"].request
    assert request.max_tokens == 3
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 7, 0.25)
    assert (sampling.repetition_penalty, sampling.seed) == (1.5, 9)
    assert finish_of(responses).usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GenerateRequest(), "input"),
        (pb.GenerateRequest(prompt=""), "prompt"),
        (pb.GenerateRequest(token_ids=pb.TokenIds(ids=[400])), "token_ids"),
        (pb.GenerateRequest(token_ids=pb.TokenIds(ids=[0, 0])), "token_ids"),
        (pb.GenerateRequest(prompt="a" * 5000), "prompt"),
        (pb.GenerateRequest(prompt="a", request_id="../x"), "request_id"),
        (pb.GenerateRequest(prompt="a", options=pb.GenerationOptions(max_tokens=0)), "options.max_tokens"),
        (pb.GenerateRequest(prompt="a", options=pb.GenerationOptions(top_p=float("nan"))), "options.top_p"),
        (pb.ChatRequest(), "messages"),
        (pb.ChatRequest(messages=[pb.ChatMessage(role="root", content="x")]), "messages[0].role"),
    ],
)
async def test_bad_requests_name_the_field_and_never_reach_the_engine(
    tmp_path: Path, request_: pb.GenerateRequest | pb.ChatRequest, field: str
) -> None:
    async with running_front(tmp_path) as front:
        method = front.genai.Chat if isinstance(request_, pb.ChatRequest) else front.genai.Generate
        error = await refused(method(request_))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (error.details() or "").startswith(f"{field}: ")
        assert detail(error, BadRequest).field_violations[0].field == field
        assert front.engine.streams == {}


async def test_another_model_is_not_found(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        assert (await refused(front.genai.Chat(chat(model="other")))).code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await front.genai.GetModel(pb.GetModelRequest(model="other"))
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        assert finish_of((await collect(front.genai.Chat(chat(model="hello"))))[0]).reason == pb.FINISH_REASON_STOP


async def test_a_message_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        error = await refused(front.genai.Generate(pb.GenerateRequest(prompt="a" * 5 * 1024 * 1024)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_cancelled_call_reaches_the_engine_and_frees_its_slot(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1, max_queue_length=0) as front:
        front.engine.hold = True
        call = front.genai.Chat(chat(request_id="r"))
        await front.submitted()
        call.cancel()
        await front.cancelled("r", FinishReason.CANCELLED)
        front.engine.hold = False
        responses, error = await collect(front.genai.Chat(chat()))
        assert error is None
        assert finish_of(responses).reason == pb.FINISH_REASON_STOP


async def test_a_client_that_disconnects_ends_its_generation(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        channel = grpc.aio.insecure_channel(front.server.addresses["grpc"])
        call = channel.unary_stream(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, Response.FromString)
        stream = call(chat(request_id="r"))
        await front.submitted()
        await channel.close()
        await front.cancelled("r", FinishReason.CANCELLED)
        assert stream.done()


async def test_a_deadline_reaches_the_engine_and_has_its_finish(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        responses, error = await collect(front.genai.Chat(chat(request_id="r"), timeout=5.0))
        assert front.engine.cancelled == [("r", FinishReason.DEADLINE)]
    assert error is not None
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert finish_of(responses).reason == pb.FINISH_REASON_DEADLINE


async def test_the_servers_own_limit_ends_a_request(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_request_seconds=0.05) as front:
        front.engine.hold = True
        responses, error = await collect(front.genai.Chat(chat()))
    assert error is not None
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.05 s" in finish_of(responses).message


async def test_a_full_queue_is_refused_with_a_delay(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1, max_queue_length=1) as front:
        front.engine.hold = True
        running = asyncio.create_task(collect(front.genai.Chat(chat(request_id="running"))))
        await front.submitted()
        waiting = asyncio.create_task(collect(front.genai.Chat(chat(request_id="waiting"))))
        await front.waiting(1)
        error = await refused(front.genai.Chat(chat()))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert detail(error, RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
        front.engine.hold = False
        front.engine.end("running", FinishReason.LENGTH)
        assert finish_of((await running)[0]).reason == pb.FINISH_REASON_LENGTH
        assert finish_of((await waiting)[0]).timings.queue_seconds > 0


async def test_waiting_too_long_is_refused(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1, max_queue_seconds=0.05) as front:
        front.engine.hold = True
        call = front.genai.Chat(chat())
        await front.submitted()
        error = await refused(front.genai.Chat(chat()))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "waited" in (error.details() or "")
        call.cancel()


async def test_a_request_id_in_use_is_refused(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        call = front.genai.Chat(chat(request_id="r"))
        await front.submitted()
        error = await refused(front.genai.Chat(chat(request_id="r")))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        call.cancel()


async def test_an_engine_crash_ends_streams_and_recovery_serves_again(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1) as front:
        front.engine.hold = True
        call = asyncio.create_task(collect(front.genai.Chat(chat(request_id="r"))))
        await front.submitted()
        waiting = asyncio.create_task(collect(front.genai.Chat(chat())))
        await front.waiting(1)
        front.engine.crash()
        responses, error = await call
        assert finish_of(responses).reason == pb.FINISH_REASON_ERROR
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "signal 11" in (error.details() or "")
        assert detail(error, RetryInfo).HasField("retry_delay")
        responses, error = await waiting
        assert responses == []
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (await front.genai.GetModel(pb.GetModelRequest())).state == pb.SERVING_STATE_ENGINE_DOWN
        assert await health(front, SERVICE) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await health(front, "") == health_pb2.HealthCheckResponse.SERVING
        refusal = await refused(front.genai.Chat(chat()))
        assert detail(refusal, RetryInfo).HasField("retry_delay")
        front.engine.hold = False
        front.engine.come_back()
        assert (await collect(front.genai.Chat(chat())))[1] is None
        assert await health(front, SERVICE) == health_pb2.HealthCheckResponse.SERVING


async def test_an_engine_error_in_one_request_is_internal(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        call = asyncio.create_task(collect(front.genai.Chat(chat(request_id="r"))))
        await front.submitted()
        front.engine.end("r", FinishReason.ERROR, "Could not allocate the key-value cache")
        responses, error = await call
    assert error is not None
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "key-value cache" in finish_of(responses).message


async def test_a_reader_that_takes_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_runtime.front.server.WRITE_SECONDS", 0.2)
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535)]
        async with grpc.aio.insecure_channel(front.server.addresses["grpc"], options=options) as channel:
            call = channel.unary_stream(
                f"/{SERVICE}/Generate", pb.GenerateRequest.SerializeToString, Response.FromString
            )
            stream = call(pb.GenerateRequest(prompt="a", request_id="slow"))
            await front.submitted()
            while ("slow", FinishReason.CANCELLED) not in front.engine.cancelled:
                front.engine.streams["slow"].put(Tokens("slow", [65] * 20_000))
                await asyncio.sleep(0.001)
            stream.cancel()


async def test_requests_while_loading_are_told_to_come_back(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with running_front(tmp_path, engine=engine, wait=False) as front:
        model = await front.genai.GetModel(pb.GetModelRequest())
        assert (model.name, model.state) == ("hello", pb.SERVING_STATE_LOADING)
        assert await health(front, SERVICE) == health_pb2.HealthCheckResponse.NOT_SERVING
        error = await refused(front.genai.Chat(chat()))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert detail(error, RetryInfo).HasField("retry_delay")
        engine.loadable.set()
        await front.until(pb.SERVING_STATE_SERVING)


async def test_get_model_tells_what_is_served(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.answer = PARIS
    async with running_front(tmp_path, engine=engine, warmup_prompts=["one", "two"], warmup_max_tokens=4) as front:
        model = await front.genai.GetModel(pb.GetModelRequest(model="hello"))
        assert (model.architecture, model.context_length, model.vocabulary_size) == ("llama", 256, 320)
        assert (model.engine, model.provider, model.intra_op_threads) == ("scripted", "cpu", 1)
        assert (model.inter_op_threads, model.spinning, list(model.thread_cpus)) == (2, True, [5])
        assert (model.max_sequence_length, model.max_concurrent_requests) == (200, 2)
        assert model.warmup_time_to_first_token_seconds > 0
        asked = {name: stream.request.max_tokens for name, stream in front.engine.streams.items()}
        assert asked == {"warmup-0": 4, "warmup-1": 4, "warmup-timed": 2}


async def health(front: Front, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(front.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def test_reflection_names_the_services(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        stub = reflection_pb2_grpc.ServerReflectionStub(front.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert "genai.v1.ControlService" not in names
