"""Every hostile gRPC request beside 15 live streams: each gets its own clear end, and the streams say what they would
have said without it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as pb_grpc
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, holds

pytestmark = pytest.mark.model

MIB = 1024 * 1024
CODE = grpc.StatusCode
GENERATE = "/genai.v1.GenAIService/Generate"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)  # and an empty SETTINGS frame
Attack = Callable[[HelloServer], Awaitable[None]]


def live_request(number: int) -> pb.GenerateRequest:
    options = pb.GenerationOptions(max_tokens=150, ignore_eos=True, temperature=1.0, seed=number)
    return pb.GenerateRequest(prompt=f"Story number {number}:", request_id=f"live-{number}", options=options)


async def answer_of(stub: Any, number: int) -> list[int]:
    responses, error = await collect(stub.Generate(live_request(number)))
    assert error is None
    return [id_ for response in responses for id_ in response.chunk.token_ids]


@asynccontextmanager
async def fifteen_streams(hello: HelloServer) -> AsyncIterator[None]:
    """They start anew as long as the block runs; every answer must be the undisturbed one."""
    over = asyncio.Event()
    async with grpc.aio.insecure_channel(hello.address) as channel:
        stub = pb_grpc.GenAIServiceStub(channel)
        undisturbed = [await answer_of(stub, number) for number in range(15)]

        async def live(number: int) -> None:
            while True:
                assert await answer_of(stub, number) == undisturbed[number]
                if over.is_set():
                    return

        async with asyncio.TaskGroup() as group:
            for number in range(15):
                group.create_task(live(number))
            await holds(lambda: hello.sample("genai_requests_running") == 15)
            yield
            over.set()


def options(**fields: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(prompt="a", options=pb.GenerationOptions(**fields))


def ids(*found: int) -> pb.GenerateRequest:
    return pb.GenerateRequest(token_ids=pb.TokenIds(ids=found))


NAN, INFINITY = float("nan"), float("inf")
DEEP = '{"a":' * 2000 + "1" + "}" * 2000
REFUSED: dict[str, tuple[pb.GenerateRequest, str]] = {
    "padding alone, as ids": (ids(3, 3, 3), "token_ids: "),
    "an id beyond the vocabulary": (ids(5, 1280), "token_ids: "),
    "the largest id": (ids(2**32 - 1), "token_ids: "),
    "no tokens": (ids(), "token_ids: "),
    "more tokens than fit": (ids(*[5] * 5000), "token_ids: "),
    "no input": (pb.GenerateRequest(), "input: "),
    "a text beyond all lengths": (pb.GenerateRequest(prompt="a " * MIB), "prompt: "),
    "NaN temperature": (options(temperature=NAN), "options.temperature: "),
    "infinite temperature": (options(temperature=INFINITY), "options.temperature: "),
    "NaN top_p": (options(top_p=NAN), "options.top_p: "),
    "NaN min_p": (options(min_p=NAN), "options.min_p: "),
    "NaN repetition penalty": (options(repetition_penalty=NAN), "options.repetition_penalty: "),
    "infinite presence penalty": (options(presence_penalty=-INFINITY), "options.presence_penalty: "),
    "NaN frequency penalty": (options(frequency_penalty=NAN), "options.frequency_penalty: "),
    "NaN bias": (options(logit_bias={5: NAN}), "options.logit_bias"),
    "a bias outside the vocabulary": (options(logit_bias={10**9: 1.0}), "options.logit_bias"),
    "100,000 biases": (options(logit_bias=dict.fromkeys(range(100_000), 1.0)), "options.logit_bias"),
    "no choices": (options(n=0), "options.n: "),
    "a thousand choices": (options(n=1000), "options.n: "),
    "1000 alternatives": (options(logprobs=1000), "options.logprobs: "),
    "an empty stop string": (options(stop=[""]), "options.stop"),
    "10,000 stop strings": (options(stop=[str(number) for number in range(10_000)]), "options.stop"),
    "a stop string of a megabyte": (options(stop=["a" * MIB]), "options.stop"),
    "a stop id outside the vocabulary": (options(stop_token_ids=[10**9]), "options.stop_token_ids"),
    "no tokens wanted": (options(max_tokens=0), "options.max_tokens: "),
    "guidance of no kind": (options(guidance=pb.Guidance()), "options.guidance: "),
    "a regex that is none": (options(guidance=pb.Guidance(regex="(")), "options.guidance"),
    "a deep schema": (options(guidance=pb.Guidance(json_schema=DEEP)), "options.guidance"),
    "a schema of 2 MiB": (options(guidance=pb.Guidance(json_schema=f'"{"a" * 2 * MIB}"')), "options.guidance"),
    "a grammar that is none": (options(guidance=pb.Guidance(lark="start: :")), "options.guidance"),
    "a request id that is a path": (pb.GenerateRequest(prompt="a", request_id="../../etc"), "request_id: "),
    "a request id with NUL": (pb.GenerateRequest(prompt="a", request_id="a\x00b"), "request_id: "),
    "an id that is in use": (live_request(0), "request_id: "),
}


async def expect(call: Any, code: grpc.StatusCode, words: str = "") -> None:
    """No message, and this end."""
    responses, error = await collect(call)
    assert responses == []
    assert error is not None
    assert error.code() is code, error.details()
    assert (error.details() or "").startswith(words)


async def padding_as_text(hello: HelloServer) -> None:
    (special,) = (await hello.genai.Tokenize(pb.TokenizeRequest(text="<|pad|>"))).token_ids
    assert special == 3
    await expect(hello.genai.Generate(pb.GenerateRequest(prompt="<|pad|>" * 8)), CODE.INVALID_ARGUMENT, "prompt: ")


async def unknown_names(hello: HelloServer) -> None:
    await expect(hello.genai.Generate(pb.GenerateRequest(prompt="a", model="\x00../x")), CODE.NOT_FOUND)
    await expect(hello.genai.Generate(options(adapter="../../x")), CODE.NOT_FOUND)


async def conversations(hello: HelloServer) -> None:
    turn = pb.ChatMessage(role="user", content="a")
    await expect(hello.genai.Chat(pb.ChatRequest(messages=[turn] * 5000)), CODE.INVALID_ARGUMENT, "messages: ")
    root = pb.ChatMessage(role="{{ 7 * 7 }}", content="a")
    await expect(hello.genai.Chat(pb.ChatRequest(messages=[root])), CODE.INVALID_ARGUMENT, "messages[0].role: ")


async def nul_in_a_text(hello: HelloServer) -> None:
    """Is text like any other: nothing after it is lost."""
    request = pb.GenerateRequest(prompt="a\x00b", options=pb.GenerationOptions(max_tokens=2, ignore_eos=True))
    responses, error = await collect(hello.genai.Generate(request))
    assert error is None
    counted = (await hello.genai.Tokenize(pb.TokenizeRequest(text="a\x00b"))).token_ids
    assert responses[-1].finish.usage.prompt_tokens == len(counted)
    assert (await hello.genai.Detokenize(pb.DetokenizeRequest(token_ids=counted))).text == "a\x00b"


async def a_grammar_that_grows_without_end(hello: HelloServer) -> None:
    """It compiles lazily; the request that uses it ends, in words, and no other does."""
    request = options(guidance=pb.Guidance(regex="((a{1000}){1000}){1000}"), max_tokens=100)
    _, error = await collect(hello.genai.Generate(request))
    assert error is not None
    assert error.code() in (CODE.INVALID_ARGUMENT, CODE.INTERNAL)
    assert "guidance" in (error.details() or "")


async def messages_beyond_the_limit(hello: HelloServer) -> None:
    for size, compression in ((100 * MIB, None), (64 * MIB, grpc.Compression.Gzip)):
        async with grpc.aio.insecure_channel(hello.address) as channel:
            call = pb_grpc.GenAIServiceStub(channel).Generate(
                pb.GenerateRequest(prompt="a" * size), compression=compression
            )
            await expect(call, CODE.RESOURCE_EXHAUSTED)


async def floods_of_metadata(hello: HelloServer) -> None:
    for metadata in ([("x-flood", "a" * MIB)], [(f"x-{number}", "a" * 64) for number in range(2000)]):
        async with grpc.aio.insecure_channel(hello.address) as channel:
            stub = pb_grpc.GenAIServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.GetModel(pb.GetModelRequest(), metadata=metadata)
            assert error.value.code() is CODE.RESOURCE_EXHAUSTED


async def bytes_that_are_no_message(hello: HelloServer) -> None:
    for content in (b"\xff" * 100, b"\x12\x02\xff\xfe"):  # a field that never ends; a text that is not UTF-8
        call = hello.channel.unary_stream(GENERATE, bytes, pb.GenerateResponse.FromString)
        await expect(call(content), CODE.INVALID_ARGUMENT, "request: ")
    nothing = hello.channel.unary_unary("/genai.v1.GenAIService/Nothing", bytes, bytes)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await nothing(b"")
    assert error.value.code() is CODE.UNIMPLEMENTED


async def a_reader_that_takes_nothing(hello: HelloServer) -> None:
    """Its flow-control window fills; then it has lost its slot, and the others have not waited for it."""
    narrow = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535)]
    request = options(max_tokens=3500, ignore_eos=True, logprobs=5)
    request.request_id = "slow"
    async with grpc.aio.insecure_channel(hello.address, options=narrow) as channel:
        stream = pb_grpc.GenAIServiceStub(channel).Generate(request)
        await stream.wait_for_connection()
        await holds(lambda: "slow" in listed(hello))
        await holds(lambda: "slow" not in listed(hello))
        _, error = await collect(stream)
        assert error is not None
        assert error.code() in (CODE.RESOURCE_EXHAUSTED, CODE.CANCELLED), error.details()
        assert "took no message" in (error.details() or "") or "unread" in (error.details() or "")


def listed(hello: HelloServer) -> set[str]:
    return {info.request_id for info in hello.server._service.requests()}  # as ListRequests, without a call


async def half_open_connections(hello: HelloServer) -> None:
    """Silence after the first bytes, bytes that are no HTTP/2, and a connection that is reset."""
    host, _, port = hello.address.rpartition(":")
    loop = asyncio.get_running_loop()
    held: list[socket.socket] = []
    for first in (
        b"",
        PREFACE,
        PREFACE + b"\x00\x40\x00\x01\x04\x00\x00\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(100),
    ):
        half_open = socket.socket()
        half_open.setblocking(False)
        await loop.sock_connect(half_open, (host, int(port)))
        await loop.sock_sendall(half_open, first)
        held.append(half_open)
    request = options(max_tokens=3000, ignore_eos=True)
    request.request_id = "reset"
    async with grpc.aio.insecure_channel(hello.address) as channel:
        stream = aiter(pb_grpc.GenAIServiceStub(channel).Generate(request))
        await anext(stream)
    await holds(lambda: "reset" not in listed(hello))
    stub = health_pb2_grpc.HealthStub(hello.channel)
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    for half_open in held:
        half_open.close()


async def rapid_resets(hello: HelloServer) -> None:
    """Calls that are cancelled as soon as they are made."""
    async with grpc.aio.insecure_channel(hello.address) as channel:
        stub = pb_grpc.GenAIServiceStub(channel)
        for number in range(300):
            call = stub.Generate(pb.GenerateRequest(prompt="a", request_id=f"rapid-{number}"))
            await asyncio.sleep(0)
            call.cancel()
    await holds(lambda: not any(name.startswith("rapid") for name in listed(hello)))


async def deadlines_that_cannot_be_met(hello: HelloServer) -> None:
    for seconds in (0.0, 1e-6):
        await expect(hello.genai.Generate(options(), timeout=seconds), CODE.DEADLINE_EXCEEDED)


async def a_stream_of_wrong_requests(hello: HelloServer) -> None:
    """Two hundred on one ModelStreamInfer call: each is answered, and the call goes on."""
    call = oip_grpc.GRPCInferenceServiceStub(hello.channel).ModelStreamInfer()
    for number in range(200):
        request = oip.ModelInferRequest(id=str(number))
        request.inputs.add(name="input_ids", datatype="INT64", shape=[1]).contents.int64_contents.append(-number)
        await call.write(request)
        answer = await call.read()
        assert answer.infer_response.id == str(number)
        assert ("INVALID_ARGUMENT" in answer.error_message) == (number > 0)
        while number == 0 and not answer.infer_response.parameters["triton_final_response"].bool_param:
            answer = await call.read()
    await call.done_writing()
    assert await call.code() is CODE.OK


ATTACKS: list[Attack] = [
    padding_as_text,
    unknown_names,
    conversations,
    nul_in_a_text,
    a_grammar_that_grows_without_end,
    messages_beyond_the_limit,
    floods_of_metadata,
    bytes_that_are_no_message,
    a_reader_that_takes_nothing,
    half_open_connections,
    rapid_resets,
    deadlines_that_cannot_be_met,
    a_stream_of_wrong_requests,
]


async def test_hostile_requests_leave_fifteen_streams_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai_runtime.front.server.WRITE_SECONDS", 1.0)
    async with hello_server(tmp_path) as hello:
        async with fifteen_streams(hello):
            for name, (request, words) in REFUSED.items():
                if name == "an id that is in use":
                    await holds(lambda: "live-0" in listed(hello))
                try:
                    await expect(hello.genai.Generate(request), CODE.INVALID_ARGUMENT, words)
                except AssertionError as error:
                    error.add_note(name)
                    raise
            for attack in ATTACKS:
                try:
                    await attack(hello)
                except (AssertionError, grpc.aio.AioRpcError) as error:
                    error.add_note(attack.__name__)
                    raise
        await holds(lambda: hello.sample("genai_requests_running") == 0)
        assert listed(hello) == set()
        assert hello.sample("genai_engine_restarts_total") == 0
