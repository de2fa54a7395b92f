"""Requests that the operator ends, by cancel, drain and terminate-session: what each protocol's client is told last.

All protocols at once on one server: a part of each answer has come when the option arrives.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_protocol.v1 import control_pb2, inference_pb2
from genai_runtime.generation import FinishReason, Tokens
from support.http_front import HttpFront, http_front, openai_client
from support.runtime import SERVICE, Front, collect, eventually, holds, running_front
from support.tiny_tokenizer import byte_level

PARIS = byte_level().encode("Paris 👍").ids
ASKED = {"model": "hello", "messages": [{"role": "user", "content": "hi"}]}
PROMPT = {"model": "hello", "prompt": "hi"}
TEXT = {"text_input": "hi"}

# (options, how the request ends in each protocol's words, in numbers of HTTP, the words of the message)
ENDINGS = [
    pytest.param(
        control_pb2.RuntimeOptions(cancel=control_pb2.CancelRule(client="127.0.0.1", tokens_over=1)),
        "CANCELLED",
        grpc.StatusCode.CANCELLED,
        499,
        "ended by the runtime option cancel: client=127.0.0.1,tokens-over=1",
        id="cancel",
    ),
    pytest.param(
        control_pb2.RuntimeOptions(terminate_session=True),
        "TERMINATED",
        grpc.StatusCode.ABORTED,
        503,
        "ended by the runtime option terminate-session",
        id="terminate",
    ),
    pytest.param(
        control_pb2.RuntimeOptions(drain=control_pb2.DrainOption(deadline_seconds=1)),
        "TERMINATED",
        grpc.StatusCode.ABORTED,
        503,
        "the 1 s of the runtime option drain are over",
        id="drain",
    ),
]


def infer() -> oip.ModelInferRequest:
    contents = oip.InferTensorContents(bytes_contents=[b"hi"])
    tensor = oip.ModelInferRequest.InferInputTensor(name="text_input", datatype="BYTES", shape=[1], contents=contents)
    return oip.ModelInferRequest(model_name="hello", id="o", inputs=[tensor])


def error_info(error: grpc.aio.AioRpcError) -> ErrorInfo:
    """Of a gRPC call that has no message to say it in."""
    metadata = dict(error.trailing_metadata() or ())
    (detail,) = Status.FromString(metadata["grpc-status-details-bin"]).details
    found = ErrorInfo()
    assert detail.Unpack(found)
    return found


async def set_options(front: Front, revision: str, options: control_pb2.RuntimeOptions) -> Any:
    request = control_pb2.SetRuntimeOptionsRequest(revision=revision, options=options)
    return await front.control.SetRuntimeOptions(request)


async def state_of(front: Front) -> Any:
    return await front.control.GetRuntimeOptions(control_pb2.GetRuntimeOptionsRequest())


async def every_protocol(front: HttpFront, options: control_pb2.RuntimeOptions) -> dict[str, Any]:
    """What each client had at the end; its request had got all of PARIS."""
    service = oip_grpc.GRPCInferenceServiceStub(front.front.channel)  # type: ignore[no-untyped-call]
    message = inference_pb2.ChatMessage(role="user", content="hi")

    async def unary() -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await service.ModelInfer(infer())
        return error.value

    async def streamed() -> Any:
        call = service.ModelStreamInfer()
        await call.write(infer())
        await call.done_writing()
        return (await collect(call))[0][-1]

    async def by_openai() -> Any:
        chunks: list[Any] = []
        client = openai_client(front.base)

        async def read() -> None:
            options = {"include_usage": True}
            async for chunk in await client.chat.completions.create(**ASKED, stream=True, stream_options=options):
                chunks.append(chunk)

        with pytest.raises(openai.APIError) as error:
            await read()
        return chunks[-1].usage, error.value

    async with front.web() as web:
        clients: dict[str, Callable[[], Awaitable[Any]]] = {
            "genai.v1": lambda: collect(front.front.genai.Chat(inference_pb2.ChatRequest(messages=[message]))),
            "oip": unary,
            "oip stream": streamed,
            "openai": by_openai,
            "chat": lambda: web.post("/v1/chat/completions", json=ASKED),
            "completions stream": lambda: web.post("/v1/completions", json={**PROMPT, "stream": True}),
            "guide stream": lambda: web.post("/v1/chat/stream", json=ASKED),
            "generate": lambda: web.post("/v2/models/hello/generate", json=TEXT),
            "generate stream": lambda: web.post("/v2/models/hello/generate_stream", json=TEXT),
        }
        front.engine.hold = True
        tasks = {}
        for number, (name, client) in enumerate(clients.items(), 1):
            tasks[name] = asyncio.ensure_future(client())
            await front.front.submitted(number)
        for request_id, stream in front.engine.streams.items():
            stream.put(Tokens(request_id, PARIS[:1]))
        listed = control_pb2.GetRuntimeOptionsRequest()
        assert (await front.front.control.GetRuntimeOptions(listed)).requests == len(clients)
        await set_options(front.front, "r", options)
        for request_id, stream in front.engine.streams.items():
            stream.put(Tokens(request_id, PARIS[1:]))
        return {name: await task for name, task in tasks.items()}


def last_event(answer: Any) -> Any:
    """Of server-sent events."""
    assert answer.status_code == 200
    return json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))


@pytest.mark.parametrize(("options", "reason", "code", "status", "words"), ENDINGS)
async def test_every_protocol_says_why_and_what_had_come(
    tmp_path: Path,
    options: control_pb2.RuntimeOptions,
    reason: str,
    code: grpc.StatusCode,
    status: int,
    words: str,
) -> None:
    async with http_front(tmp_path, max_concurrent_requests=16) as front:
        found = await every_protocol(front, options)
        ended = (await state_of(front.front)).cancelled_requests
        assert ended == (len(found) if reason == "CANCELLED" else 0)
    messages, error = found["genai.v1"]
    finish = messages[-1].finish
    assert inference_pb2.FinishReason.Name(finish.reason) == f"FINISH_REASON_{reason}"
    assert (error.code(), finish.message) == (code, words)
    assert finish.usage.prompt_tokens > 0
    count = finish.usage.completion_tokens
    assert 0 < count <= len(PARIS)

    assert (found["oip"].code(), found["oip"].details()) == (code, words)
    assert error_info(found["oip"]).reason == reason
    assert int(error_info(found["oip"]).metadata["completion_tokens"]) > 0

    last = found["oip stream"]
    assert last.error_message == f"request o: {code.name}: {words}"
    parameters = last.infer_response.parameters
    assert parameters["finish_reason"].string_param == reason.lower()
    assert parameters["completion_tokens"].int64_param > 0
    assert parameters["triton_final_response"].bool_param

    usage, failure = found["openai"]
    assert usage.completion_tokens > 0
    assert (failure.body["code"], failure.body["message"]) == (reason.lower(), words)

    assert found["chat"].status_code == status
    for body in (found["chat"].json(), last_event(found["completions stream"]), last_event(found["guide stream"])):
        assert (body["error"]["code"], body["error"]["message"]) == (reason.lower(), words)
        assert body["usage"]["completion_tokens"] > 0
    assert found["generate"].status_code == status
    for body in (found["generate"].json(), last_event(found["generate stream"])):
        assert body["error"] == words
        assert body["completion_tokens"] > 0


async def test_a_drained_pod_sends_new_requests_away_and_serves_again(tmp_path: Path) -> None:
    drain = control_pb2.RuntimeOptions(drain=control_pb2.DrainOption(deadline_seconds=60))
    message = inference_pb2.ChatMessage(role="user", content="hi")
    async with http_front(tmp_path, max_concurrent_requests=1) as front, front.web() as web:
        front.engine.hold = True
        running = asyncio.create_task(web.post("/v1/chat/completions", json=ASKED))
        await front.front.submitted()
        waiting = asyncio.create_task(web.post("/v1/chat/completions", json=ASKED))
        await front.front.waiting(1)
        state = await set_options(front.front, "r", drain)
        assert (state.serving_state, state.options) == (inference_pb2.SERVING_STATE_DRAINING, drain)
        assert state.requests == 2
        refused = await web.post("/v1/chat/completions", json=ASKED)
        assert refused.status_code == 503
        assert 55 <= int(refused.headers["retry-after"]) <= 60
        messages, error = await collect(front.front.genai.Chat(inference_pb2.ChatRequest(messages=[message])))
        assert (messages, error.code() if error else None) == ([], grpc.StatusCode.UNAVAILABLE)
        assert error is not None
        metadata = dict(error.trailing_metadata() or ())
        retry = RetryInfo()
        assert Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(retry)
        assert 55 <= retry.retry_delay.seconds <= 60
        assert (await web.get("/v2/health/ready")).status_code == 503
        front.engine.hold = False
        front.engine.answer = PARIS
        (request_id,) = front.engine.streams
        front.engine.streams[request_id].put(Tokens(request_id, PARIS))
        front.engine.end(request_id, FinishReason.STOP)
        for task in (running, waiting):
            assert (await task).json()["choices"][0]["message"]["content"] == "Paris 👍"
        state = await set_options(front.front, "s", control_pb2.RuntimeOptions())
        assert state.serving_state == inference_pb2.SERVING_STATE_SERVING
        assert (await web.get("/v2/health/ready")).status_code == 200
        assert (await web.post("/v1/chat/completions", json=ASKED)).status_code == 200


async def test_control_lists_all_requests_whoever_asked(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("ann", "bob"):
        (keys / name).write_text(f"{name}-key")
    message = inference_pb2.ChatMessage(role="user", content="secret words")
    async with running_front(tmp_path, api_keys_dir=keys, wait=False) as front:
        await holds(lambda: front.server.state.ready)
        front.engine.hold = True
        tasks = []
        for name in ("ann", "bob"):
            request = inference_pb2.ChatRequest(messages=[message], request_id=f"r-{name}")
            call = front.genai.Chat(request, metadata=[("x-api-key", f"{name}-key")])
            tasks.append(asyncio.create_task(collect(call)))
            await front.submitted(len(tasks))
        listed = await front.control.ListRequests(inference_pb2.ListRequestsRequest())
        assert [(each.request_id, each.client) for each in listed.requests] == [("r-ann", "ann"), ("r-bob", "bob")]
        assert "secret" not in str(listed)
        rule = control_pb2.CancelRule(client="ann")
        state = await set_options(front, "r", control_pb2.RuntimeOptions(cancel=rule))
        assert (state.cancelled_requests, state.options.cancel) == (1, rule)
        await tasks[0]
        front.engine.end("r-bob", FinishReason.STOP)
        messages, error = await tasks[1]
        assert (messages[-1].finish.reason, error) == (inference_pb2.FINISH_REASON_STOP, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (control_pb2.RuntimeOptions(cancel=control_pb2.CancelRule()), "options.cancel: "),
        (
            control_pb2.RuntimeOptions(cancel=control_pb2.CancelRule(older_than_seconds=float("nan"))),
            "options.cancel.older_than_seconds: ",
        ),
        (control_pb2.RuntimeOptions(drain=control_pb2.DrainOption()), "options.drain.deadline_seconds: "),
        (control_pb2.RuntimeOptions(log_level="../../etc/passwd"), "options.log_level: "),
    ],
)
async def test_a_hostile_option_is_refused_by_its_name(
    tmp_path: Path, options: control_pb2.RuntimeOptions, field: str
) -> None:
    async with running_front(tmp_path) as front:
        options.terminate_session = True
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await set_options(front, "r", options)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (error.value.details() or "").startswith(field)
        state = await state_of(front)
        assert (state.revision, state.options) == ("", control_pb2.RuntimeOptions())
        assert front.engine.calls == []


async def test_what_is_not_there_is_named_only_when_asked_for(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        assert list((await set_options(front, "r", control_pb2.RuntimeOptions())).unsupported) == []
        recorder = control_pb2.FlightRecorderOption(inter_token_p99_seconds=0.1)
        front.server._options.recorder = None
        state = await set_options(front, "s", control_pb2.RuntimeOptions(flight_recorder=recorder))
        assert (list(state.unsupported), state.revision) == (["flight-recorder"], "s")


async def test_readiness_follows_the_last_word_of_a_drain(tmp_path: Path) -> None:
    drain = control_pb2.RuntimeOptions(drain=control_pb2.DrainOption(deadline_seconds=60))
    none = control_pb2.RuntimeOptions()
    shown = health_pb2.HealthCheckResponse
    async with running_front(tmp_path) as front:
        stub: Any = health_pb2_grpc.HealthStub(front.channel)  # type: ignore[no-untyped-call]

        async def all_are(status: int) -> bool:
            services = (SERVICE, "inference.GRPCInferenceService")
            asked = [await stub.Check(health_pb2.HealthCheckRequest(service=service)) for service in services]
            return [answer.status for answer in asked] == [status] * 2

        for last, before, status in ((drain, none, shown.NOT_SERVING), (none, drain, shown.SERVING)):
            await asyncio.gather(*(set_options(front, "r", each) for each in [last, before] * 10))
            await set_options(front, "s", last)
            await eventually(lambda status=status: all_are(status))  # type: ignore[misc]
            await front.server._readiness.acquire()  # nothing is on its way that would change it
            front.server._readiness.release()
            assert await all_are(status)


async def test_a_server_that_is_told_to_end_while_it_is_drained_ends_as_always(tmp_path: Path) -> None:
    drain = control_pb2.RuntimeOptions(drain=control_pb2.DrainOption(deadline_seconds=3600))
    message = inference_pb2.ChatMessage(role="user", content="hi")
    async with running_front(tmp_path, drain_seconds=0.05) as front:
        front.engine.hold = True
        running = asyncio.create_task(collect(front.genai.Chat(inference_pb2.ChatRequest(messages=[message]))))
        await front.submitted()
        await set_options(front, "r", drain)
        front.server.request_stop()
        messages, error = await running
        assert error is not None
        assert (messages[-1].finish.reason, error.code()) == (
            inference_pb2.FINISH_REASON_SHUTDOWN,
            grpc.StatusCode.UNAVAILABLE,
        )
        await front.task
