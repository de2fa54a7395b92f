"""genai.v1 in full on the hello model: choices, log-probabilities, tokens, requests listed and cancelled, and keys."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.engine.batch.chunk import CHOICES
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, eventually, holds, running_front

pytestmark = pytest.mark.model
PROMPT = "The capital of France is"
LONG = pb.GenerationOptions(max_tokens=3000, ignore_eos=True)


@pytest.fixture
async def hello(tmp_path: Path) -> AsyncIterator[HelloServer]:
    async with hello_server(tmp_path) as server:
        yield server


async def generate(hello: HelloServer, prompt: str = PROMPT, **options: Any) -> list[pb.GenerateResponse]:
    request = pb.GenerateRequest(prompt=prompt, options=pb.GenerationOptions(**options))
    responses, error = await collect(hello.genai.Generate(request))
    assert error is None
    return responses


def text_of(responses: list[pb.GenerateResponse], index: int = 0) -> str:
    return "".join(
        response.chunk.text for response in responses if response.HasField("chunk") and response.chunk.index == index
    )


def ids_of(responses: list[pb.GenerateResponse], index: int = 0) -> list[int]:
    return [id_ for response in responses if response.chunk.index == index for id_ in response.chunk.token_ids]


def finishes_of(responses: list[pb.GenerateResponse]) -> list[pb.Finish]:
    return [response.finish for response in responses if response.HasField("finish")]


async def test_a_stream_put_together_is_the_answer_at_once(hello: HelloServer) -> None:
    """And its ids are the text, to the tokenizer; usage is what was streamed."""
    responses = await generate(hello, "Tell me a story", max_tokens=40, ignore_eos=True, seed=4, temperature=1.0)
    request = oip.ModelInferRequest(model_name="hello")
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
        b"Tell me a story"
    )
    request.parameters["max_tokens"].int64_param = 40
    request.parameters["ignore_eos"].bool_param = True
    request.parameters["seed"].uint64_param = 4
    request.parameters["temperature"].double_param = 1.0
    whole = await oip_grpc.GRPCInferenceServiceStub(hello.channel).ModelInfer(request)
    ids = ids_of(responses)
    assert text_of(responses).encode() == whole.outputs[0].contents.bytes_contents[0]
    assert ids == list(whole.outputs[1].contents.int64_contents)
    assert (await hello.genai.Detokenize(pb.DetokenizeRequest(token_ids=ids))).text == text_of(responses)
    (finish,) = finishes_of(responses)
    assert finish.usage.completion_tokens == len(ids) == 40
    assert finish.reason == pb.FINISH_REASON_LENGTH


async def test_choices_have_indexes_and_ends_of_their_own(hello: HelloServer) -> None:
    responses = await generate(hello, n=3, max_tokens=8, ignore_eos=True, temperature=2.0, seed=11)
    finishes = finishes_of(responses)
    assert sorted(finish.index for finish in finishes) == [0, 1, 2]
    answers = [ids_of(responses, index) for index in range(3)]
    assert [len(answer) for answer in answers] == [8, 8, 8]
    assert answers[0] != answers[1] != answers[2]
    assert responses[-1].HasField("finish")
    assert finishes[-1].usage.completion_tokens == 24
    alone = await generate(hello, max_tokens=8, ignore_eos=True, temperature=2.0, seed=11)
    assert ids_of(alone) == answers[0]


async def test_every_token_has_its_logprob_and_the_likeliest(hello: HelloServer) -> None:
    responses = await generate(hello, max_tokens=5, ignore_eos=True, logprobs=3)
    found = [logprob for response in responses for logprob in response.chunk.logprobs]
    assert [logprob.token_id for logprob in found] == ids_of(responses)
    for logprob in found:
        alternatives = [alternative.logprob for alternative in logprob.top]
        assert len(alternatives) == 3
        assert alternatives == sorted(alternatives, reverse=True)
        assert (logprob.top[0].token_id, logprob.top[0].logprob) == (logprob.token_id, logprob.logprob)  # greedy
        assert logprob.logprob <= 0
    alone = await generate(hello, max_tokens=1, logprobs=0)
    assert [len(logprob.top) for response in alone for logprob in response.chunk.logprobs] == [0]
    assert all(not response.chunk.logprobs for response in await generate(hello, max_tokens=1))


async def test_what_ended_a_choice_is_named(hello: HelloServer) -> None:
    (by_text,) = finishes_of(await generate(hello, stop=["nothing", "ris"]))
    assert (by_text.reason, by_text.stop, by_text.WhichOneof("stopped_by")) == (pb.FINISH_REASON_STOP, "ris", "stop")
    first = ids_of(await generate(hello, max_tokens=1))[0]
    stopped = await generate(hello, stop_token_ids=[first])
    assert text_of(stopped) == ""
    assert finishes_of(stopped)[0].stop_token_id == first
    assert finishes_of(await generate(hello))[0].WhichOneof("stopped_by") is None


async def test_guidance_shapes_the_answer(hello: HelloServer) -> None:
    guided = await generate(hello, guidance=pb.Guidance(regex="[0-9]{3}"), max_tokens=20)
    assert len(text_of(guided)) == 3
    assert text_of(guided).isdigit()


async def test_a_text_there_and_back(hello: HelloServer) -> None:
    for text in (PROMPT, "naïve 👍 \x00 日本", " spaces  "):
        ids = (await hello.genai.Tokenize(pb.TokenizeRequest(text=text))).token_ids
        assert (await hello.genai.Detokenize(pb.DetokenizeRequest(token_ids=ids))).text == text
    messages = [pb.ChatMessage(role="user", content="hi")]
    conversation = pb.TokenizeRequest(conversation=pb.Conversation(messages=messages))
    counted = (await hello.genai.Tokenize(conversation)).token_ids
    responses, _ = await collect(hello.genai.Chat(pb.ChatRequest(messages=messages)))
    assert finishes_of(responses)[0].usage.prompt_tokens == len(counted)
    for request in (pb.TokenizeRequest(), pb.TokenizeRequest(text="a", model="other")):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await hello.genai.Tokenize(request)
        assert error.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await hello.genai.Detokenize(pb.DetokenizeRequest(token_ids=[99999]))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_request_is_listed_and_cancelled_by_its_id(hello: HelloServer) -> None:
    request = pb.GenerateRequest(prompt=PROMPT, request_id="long", options=LONG)
    stream = aiter(hello.genai.Generate(request))
    await anext(stream)
    (listed,) = (await hello.genai.ListRequests(pb.ListRequestsRequest())).requests
    assert (listed.request_id, listed.method, listed.stage) == ("long", "generate", pb.REQUEST_STAGE_DECODE)
    assert (listed.client, listed.choices) == ("127.0.0.1", 1)
    assert listed.completion_tokens > 0
    await hello.genai.Cancel(pb.CancelRequest(request_id="long"))
    responses, error = await collect(stream)
    assert error is not None
    assert error.code() is grpc.StatusCode.CANCELLED
    assert finishes_of(responses)[0].reason == pb.FINISH_REASON_CANCELLED
    assert not (await hello.genai.ListRequests(pb.ListRequestsRequest())).requests
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await hello.genai.Cancel(pb.CancelRequest(request_id="long"))
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND
    await holds(lambda: hello.sample("genai_requests_running") == 0)


async def test_get_model_tells_what_the_engine_can_do(hello: HelloServer) -> None:
    model = await hello.genai.GetModel(pb.GetModelRequest())
    assert model.engine == "batch"
    assert {"logprobs", "guidance", "min_p"} <= set(model.features)
    assert model.max_batch_size == 16
    assert model.kv_tokens > model.max_sequence_length
    assert model.prefix_caching
    assert model.prefill_chunk in CHOICES


async def test_a_shared_beginning_is_counted_as_cached(hello: HelloServer) -> None:
    prompt = "The quick brown fox jumps over the lazy dog. " * 20
    first, second = [finishes_of(await generate(hello, prompt, max_tokens=2))[0] for _ in range(2)]
    assert first.usage.cached_prompt_tokens == 0
    assert 0 < second.usage.cached_prompt_tokens < second.usage.prompt_tokens


async def test_keys_are_asked_for_and_divide_requests(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "alice").write_text("key-a")
    (keys / "bob").write_text("key-b")
    async with running_front(tmp_path, wait=False, api_keys_dir=keys) as front:
        alice, bob = ([("authorization", f"Bearer {key}")] for key in ("key-a", "key-b"))
        stub = oip_grpc.GRPCInferenceServiceStub(front.channel)
        await holds(lambda: front.server.state.ready)
        calls: list[Any] = [
            front.genai.GetModel(pb.GetModelRequest()),
            front.genai.ListRequests(pb.ListRequestsRequest()),
            front.genai.Cancel(pb.CancelRequest(), metadata=[("authorization", "Bearer wrong")]),
            stub.ModelMetadata(oip.ModelMetadataRequest(name="hello")),
            stub.LogSettings(oip.LogSettingsRequest()),
            stub.TraceSetting(oip.TraceSettingRequest()),
            stub.ModelInfer(oip.ModelInferRequest()),
        ]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await stub.ServerReady(oip.ServerReadyRequest())).ready
        front.engine.hold = True
        running = asyncio.create_task(
            collect(front.genai.Generate(pb.GenerateRequest(prompt="a", request_id="hers"), metadata=alice))
        )
        await front.submitted()
        assert not (await front.genai.ListRequests(pb.ListRequestsRequest(), metadata=bob)).requests
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await front.genai.Cancel(pb.CancelRequest(request_id="hers"), metadata=bob)
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        (listed,) = (await front.genai.ListRequests(pb.ListRequestsRequest(), metadata=alice)).requests
        assert listed.client == "alice"
        await front.genai.Cancel(pb.CancelRequest(request_id="hers"), metadata=alice)
        _, ended = await running
        assert ended is not None
        assert ended.code() is grpc.StatusCode.CANCELLED


async def test_a_trace_ends_by_itself_after_its_count(hello: HelloServer) -> None:
    stub = oip_grpc.GRPCInferenceServiceStub(hello.channel)
    kind = oip.TraceSettingRequest.SettingValue
    names = {"trace_level": "TIMESTAMPS", "trace_count": "3", "trace_rate": "2"}
    wanted = {name: kind(value=[value]) for name, value in names.items()}
    await stub.TraceSetting(oip.TraceSettingRequest(settings=wanted))
    await generate(hello, max_tokens=10, ignore_eos=True)

    async def closed() -> bool:
        answer = await stub.TraceSetting(oip.TraceSettingRequest())
        return list(answer.settings["trace_level"].value) == ["OFF"]

    await eventually(closed)
    (profile,) = hello.profiles.list()
    assert (profile.label, profile.runs, profile.skipped_runs, profile.close_reason) == ("trace", 3, 2, "max_runs")


async def test_the_log_level_is_live(hello: HelloServer) -> None:
    """The front's own loggers ask the standard library's root at every line."""
    stub = oip_grpc.GRPCInferenceServiceStub(hello.channel)
    kind = oip.LogSettingsRequest.SettingValue
    root = logging.getLogger()
    before = root.level
    try:
        for verbose, level in ((1, logging.DEBUG), (0, logging.INFO)):
            settings = {"log_verbose_level": kind(uint32_param=verbose), "log_info": kind(bool_param=True)}
            settings["log_warning"] = kind(bool_param=True)
            await stub.LogSettings(oip.LogSettingsRequest(settings=settings))
            assert root.level == level
    finally:
        root.setLevel(before)
