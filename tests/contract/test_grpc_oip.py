"""The Open Inference Protocol over real gRPC with a scripted engine: what requests, streams and settings come to."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_runtime.front.ports import WantedWindow
from genai_runtime.generation import FinishReason
from genai_runtime.profiling.selection import Selection
from support.runtime import Front, ScriptedEngine, running_front
from support.tiny_tokenizer import byte_level

ANSWER = byte_level().encode("Paris 👍").ids
SLOW = WantedWindow("slow")


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with running_front(tmp_path, max_concurrent_requests=8) as running:
        running.engine.answer = ANSWER
        yield running


def stub(front: Front) -> Any:
    return oip_grpc.GRPCInferenceServiceStub(front.channel)


def tensor(name: str = "text_input", datatype: str = "BYTES", shape: tuple[int, ...] = (1,), **contents: Any) -> Any:
    filled = oip.InferTensorContents(**contents) if contents else None
    return oip.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=filled)


def text(value: bytes = b"hi", shape: tuple[int, ...] = (1,)) -> Any:
    return tensor(shape=shape, bytes_contents=[value])


def infer(*inputs: Any, parameters: dict[str, Any] | None = None, **fields: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(inputs=inputs or [text()], **{"model_name": "hello", **fields})
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for name, value in (parameters or {}).items():
        setattr(request.parameters[name], kinds[type(value)], value)
    return request


def raw(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def text_of(response: oip.ModelInferResponse) -> bytes:
    return b"".join(response.outputs[0].contents.bytes_contents)


def test_the_standard_kept_its_numbers() -> None:
    """Those that every client has built in."""
    numbers = {
        "ModelInferRequest": {"model_name": 1, "id": 3, "parameters": 4, "inputs": 5, "raw_input_contents": 7},
        "ModelInferResponse": {"model_name": 1, "id": 3, "parameters": 4, "outputs": 5, "raw_output_contents": 6},
        "ModelStreamInferResponse": {"error_message": 1, "infer_response": 2},
        "InferTensorContents": {"bytes_contents": 8, "fp32_contents": 6, "int64_contents": 3},
        "ModelConfig": {"backend": 17, "model_transaction_policy": 19, "parameters": 14, "max_batch_size": 4},
        "TraceSettingRequest": {"settings": 1, "model_name": 2},
    }
    for name, fields in numbers.items():
        found = oip.DESCRIPTOR.message_types_by_name[name].fields_by_name
        assert {field: found[field].number for field in fields} == fields


async def test_text_in_text_out_in_the_form_it_was_asked(front: Front) -> None:
    typed = await stub(front).ModelInfer(infer(id="mine"))
    assert (typed.id, typed.model_name, text_of(typed)) == ("mine", "hello", "Paris 👍".encode())
    assert [output.name for output in typed.outputs] == ["text_output", "output_ids", "finish_reason"]
    assert list(typed.outputs[1].contents.int64_contents) == ANSWER
    assert typed.outputs[2].contents.bytes_contents == [b"stop"]
    assert typed.parameters["completion_tokens"].int64_param == len(ANSWER)
    in_raw = await stub(front).ModelInfer(infer(tensor(shape=(1, 1)), raw_input_contents=[raw(b"hi")]))
    assert in_raw.raw_output_contents[0] == raw("Paris 👍".encode())
    assert in_raw.raw_output_contents[1] == struct.pack(f"<{len(ANSWER)}q", *ANSWER)
    assert not in_raw.outputs[0].HasField("contents")


@pytest.mark.parametrize(
    ("given", "contents"),
    [
        (tensor("input_ids", "INT64", (3,), int64_contents=[5, 6, 7]), []),
        (tensor("input_ids", "INT32", (1, 3), int_contents=[5, 6, 7]), []),
        (tensor("input_ids", "INT32", (3,)), [struct.pack("<3i", 5, 6, 7)]),
        (tensor("input_ids", "INT64", (1, 3)), [struct.pack("<3q", 5, 6, 7)]),
    ],
)
async def test_token_ids_of_both_widths(front: Front, given: Any, contents: list[bytes]) -> None:
    await stub(front).ModelInfer(infer(given, raw_input_contents=contents))
    (request,) = [scripted.request for scripted in front.engine.streams.values()]
    assert request.prompt == [5, 6, 7]


async def test_parameters_reach_the_engine(front: Front) -> None:
    given = {
        "max_tokens": 3,
        "temperature": 0.5,
        "top_k": "7",
        "top_p": "0.25",
        "seed": 9,
        "priority": 1,
        "timeout": 10**9,
    }
    await stub(front).ModelInfer(infer(parameters=given))
    (request,) = [scripted.request for scripted in front.engine.streams.values()]
    assert (request.max_tokens, request.priority) == (3, 4)
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed) == (0.5, 7, 0.25, 9)


WRONG = {
    "no input": (oip.ModelInferRequest(), "inputs"),
    "two inputs": (infer(text(), tensor("input_ids", "INT64", int64_contents=[5])), "inputs"),
    "unknown tensor": (infer(tensor("prompt", bytes_contents=[b"a"])), "inputs['prompt']"),
    "twice": (infer(text(), text()), "inputs['text_input']"),
    "datatype": (infer(tensor(datatype="FP32", fp32_contents=[1])), "inputs['text_input'].datatype"),
    "batch": (infer(tensor(shape=(2, 1), bytes_contents=[b"a", b"b"])), "inputs['text_input'].shape"),
    "two items": (infer(tensor(shape=(2,), bytes_contents=[b"a", b"b"])), "inputs['text_input'].shape"),
    "no shape": (infer(tensor(shape=(), bytes_contents=[b"a"])), "inputs['text_input'].shape"),
    "negative shape": (infer(tensor(shape=(-1,), bytes_contents=[b"a"])), "inputs['text_input'].shape"),
    "too deep": (infer(tensor(shape=(1, 1, 1), bytes_contents=[b"a"])), "inputs['text_input'].shape"),
    "fewer than the shape": (infer(tensor("input_ids", "INT64", (3,), int64_contents=[5])), "inputs['input_ids']"),
    "huge shape": (infer(tensor("input_ids", "INT64", (2**62,), int64_contents=[5])), "inputs['input_ids']"),
    "wrong field": (infer(tensor(int64_contents=[1])), "inputs['text_input']"),
    "not UTF-8": (infer(text(b"\xff\xfe")), "inputs['text_input']"),
    "empty": (infer(text(b"")), "inputs['text_input']"),
    "cut raw": (infer(tensor(), raw_input_contents=[b"\x09\x00\x00\x00ab"]), "inputs['text_input']"),
    "short raw": (infer(tensor(), raw_input_contents=[b"\x01"]), "inputs['text_input']"),
    "odd raw": (infer(tensor("input_ids", "INT64"), raw_input_contents=[b"123"]), "inputs['input_ids']"),
    "too many raw": (infer(tensor(), raw_input_contents=[raw(b"a"), b""]), "raw_input_contents"),
    "raw and typed": (infer(text(), raw_input_contents=[raw(b"a")]), "inputs['text_input'].contents"),
    "pad only": (infer(tensor("input_ids", "INT64", (2,), int64_contents=[0, 0])), "inputs['input_ids']"),
    "out of vocabulary": (infer(tensor("input_ids", "INT64", int64_contents=[10**6])), "inputs['input_ids']"),
    "negative id": (infer(tensor("input_ids", "INT64", int64_contents=[-3])), "inputs['input_ids']"),
    "NaN": (infer(parameters={"temperature": float("nan")}), "parameters.temperature"),
    "NaN as text": (infer(parameters={"top_p": "nan"}), "parameters.top_p"),
    "fraction": (infer(parameters={"max_tokens": 1.5}), "parameters.max_tokens"),
    "negative": (infer(parameters={"seed": -1}), "parameters.seed"),
    "huge": (infer(parameters={"max_tokens": "1e400"}), "parameters.max_tokens"),
    "unknown": (infer(parameters={"maxtokens": 1}), "parameters.maxtokens"),
    "no number": (infer(parameters={"top_k": True}), "parameters.top_k"),
    "no flag": (infer(parameters={"ignore_eos": "maybe"}), "parameters.ignore_eos"),
    "sequence": (infer(parameters={"sequence_id": 1}), "parameters.sequence_id"),
    "priority": (infer(parameters={"priority": 10}), "parameters.priority"),
    "bias": (infer(parameters={"logit_bias": "[1]"}), "parameters.logit_bias"),
    "list": (infer(parameters={"stop": '["a", 1]'}), "parameters.stop"),
    "two guidances": (infer(parameters={"regex": "a", "lark": "b"}), "parameters.regex"),
    "alternatives": (infer(parameters={"logprobs": 2}), "parameters.logprobs"),
    "stream": (infer(parameters={"stream": True}), "parameters.stream"),
    "JSON": (infer(text(), tensor("sampling_parameters", bytes_contents=[b"{"])), "inputs['sampling_parameters']"),
    "deep JSON": (
        infer(text(), tensor("sampling_parameters", bytes_contents=[b"[" * 100_000])),
        "inputs['sampling_parameters']",
    ),
    "output": (infer(outputs=[{"name": "logits"}]), "outputs['logits']"),
    "logprobs without asking": (infer(outputs=[{"name": "output_logprobs"}]), "outputs['output_logprobs']"),
    "long id": (infer(id="x" * 300), "id"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_arrives_wrong_is_named_and_never_reaches_the_engine(front: Front, name: str) -> None:
    request, field = WRONG[name]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub(front).ModelInfer(request)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.value.details() or "").startswith(f"{field}: ")
    found = BadRequest()
    metadata = dict(error.value.trailing_metadata() or ())
    assert Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(found)
    assert found.field_violations[0].field == field
    assert front.engine.streams == {}


async def test_shared_memory_in_a_tensor_is_refused(front: Front) -> None:
    given = text()
    given.parameters["shared_memory_region"].string_param = "x"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub(front).ModelInfer(infer(given))
    assert "shared_memory_region" in (error.value.details() or "")


async def test_a_generation_that_ends_badly_has_its_status(front: Front) -> None:
    front.engine.hold = True
    call = asyncio.ensure_future(stub(front).ModelInfer(infer()))
    await front.submitted()
    front.engine.end(next(iter(front.engine.streams)), FinishReason.TERMINATED)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.ABORTED


async def test_each_token_is_an_answer_with_its_requests_id(front: Front) -> None:
    call = stub(front).ModelStreamInfer()
    for name in ("a", "b"):
        await call.write(infer(id=name, parameters={"triton_enable_empty_final_response": True}))
    await call.done_writing()
    answers = [response.infer_response async for response in call]
    for name in ("a", "b"):
        own = [answer for answer in answers if answer.id == name]
        assert b"".join(map(text_of, own)).decode() == "Paris 👍"
        assert [answer.parameters["triton_final_response"].bool_param for answer in own][-1:] == [True]
        assert sum(answer.parameters["triton_final_response"].bool_param for answer in own) == 1
        assert own[-1].outputs[-1].contents.bytes_contents == [b"stop"]
    assert await call.code() is grpc.StatusCode.OK


async def test_a_failed_request_leaves_the_stream_and_its_others(front: Front) -> None:
    front.engine.hold = True
    call = stub(front).ModelStreamInfer()
    await call.write(infer(id="long"))
    await front.submitted()
    for wrong, words in {
        "long": "request long: INVALID_ARGUMENT: id: names a request",
        "wrong": "request wrong: INVALID_ARGUMENT: inputs['text_input']: is empty",
    }.items():
        await call.write(infer(text(b""), id=wrong))
        refused = await call.read()
        assert refused.error_message.startswith(words)
        assert refused.infer_response.id == wrong
    front.engine.hold = False
    await call.write(infer(id="short", parameters={"stream": False}))
    short = await call.read()
    assert (short.infer_response.id, text_of(short.infer_response)) == ("short", "Paris 👍".encode())
    assert short.infer_response.parameters["triton_final_response"].bool_param
    front.engine.end(next(iter(front.engine.streams)), FinishReason.TERMINATED)
    ended = await call.read()
    assert ended.error_message.startswith("request long: ABORTED: ")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_requests_without_an_id_may_share_a_stream(front: Front) -> None:
    call = stub(front).ModelStreamInfer()
    for _ in range(3):
        await call.write(infer(parameters={"stream": False}))
    await call.done_writing()
    assert [text_of(response.infer_response).decode() async for response in call] == ["Paris 👍"] * 3


async def test_a_closed_stream_ends_all_of_its_requests(front: Front) -> None:
    front.engine.hold = True
    call = stub(front).ModelStreamInfer()
    for name in ("a", "b"):
        await call.write(infer(id=name))
    await front.submitted(2)
    call.cancel()
    for request_id in list(front.engine.streams):
        await front.cancelled(request_id, FinishReason.CANCELLED)


async def test_a_stream_has_so_many_requests_at_once(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_runtime.front.dialects.oip_calls._MOST_AT_ONCE", 1)
    front.engine.hold = True
    call = stub(front).ModelStreamInfer()
    await call.write(infer(id="a"))
    await call.write(infer(id="b"))
    assert (await call.read()).error_message.startswith("request b: RESOURCE_EXHAUSTED: ")
    call.cancel()


async def test_readiness_follows_the_engine(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with running_front(tmp_path, engine=engine, wait=False) as front:
        assert (await stub(front).ServerLive(oip.ServerLiveRequest())).live
        assert not (await stub(front).ServerReady(oip.ServerReadyRequest())).ready
        assert not (await stub(front).ModelReady(oip.ModelReadyRequest(name="hello"))).ready
        assert not (await stub(front).RepositoryIndex(oip.RepositoryIndexRequest(ready=True))).models
        (model,) = (await stub(front).RepositoryIndex(oip.RepositoryIndexRequest())).models
        assert (model.name, model.state) == ("hello", "LOADING")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub(front).RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="hello"))
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_loading_what_is_loaded_is_done(front: Front) -> None:
    for request in ({"model_name": "hello"}, {"repository_name": "hello"}):  # Triton's field, and KServe's
        answer = await stub(front).RepositoryModelLoad(oip.RepositoryModelLoadRequest(**request))
        assert (answer.model_name, answer.isLoaded) == ("hello", True)


def levels(answer: oip.TraceSettingResponse) -> tuple[list[str], list[str]]:
    return list(answer.settings["trace_level"].value), list(answer.settings["trace_count"].value)


async def trace(front: Front, **settings: list[str]) -> oip.TraceSettingResponse:
    kind = oip.TraceSettingRequest.SettingValue
    given = {name: kind(value=value) for name, value in settings.items()}
    found: oip.TraceSettingResponse = await stub(front).TraceSetting(oip.TraceSettingRequest(settings=given))
    return found


async def test_trace_settings_open_and_close_a_window(front: Front) -> None:
    assert levels(await trace(front)) == (["OFF"], ["-1"])
    assert levels(await trace(front, trace_count=["7"])) == (["OFF"], ["7"])
    assert levels(await trace(front, trace_level=["TIMESTAMPS"])) == (["TIMESTAMPS"], ["7"])
    await trace(front, trace_level=["TIMESTAMPS"])
    assert front.profiles.calls == ["start", "open trace"]
    assert levels(await trace(front, trace_level=[], trace_count=[])) == (["OFF"], ["-1"])
    assert front.profiles.calls == ["start", "open trace", "close disabled"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trace_level", ["TENSORS"]),
        ("trace_level", ["OFF", "TIMESTAMPS"]),
        ("trace_count", ["0"]),
        ("trace_count", ["-2"]),
        ("trace_count", ["many"]),
        ("trace_rate", ["0"]),
        ("trace_rate", ["1000000"]),
        ("trace_rate", ["-1"]),
        ("trace_rate", ["٣"]),
        ("trace_rate", ["1", "2"]),
        ("trace_count", ["9" * 13]),
        ("trace_file", ["/tmp/x"]),
        ("trace_mode", ["opentelemetry"]),
        ("traces", ["1"]),
    ],
)
async def test_a_wrong_trace_setting_changes_nothing(front: Front, name: str, value: list[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await trace(front, **{"trace_level": ["TIMESTAMPS"], name: value})
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.value.details() or "").startswith(f"settings.{name}: ")
    assert front.profiles.calls == ["start"]


async def test_a_trace_rate_captures_one_run_in_so_many_and_null_resets_it(front: Front) -> None:
    opened = await trace(front, trace_level=["TIMESTAMPS"], trace_rate=["0100"])
    assert list(opened.settings["trace_rate"].value) == ["100"]
    assert front.profiles.wanted[-1].selection == Selection(runs="every 100")
    reset = await trace(front, trace_rate=[])  # other settings are another window
    assert list(reset.settings["trace_rate"].value) == ["1"]
    assert front.profiles.calls == ["start", "open trace", "open trace"]
    assert front.profiles.wanted[-1].selection == Selection(runs="every 1")


@pytest.mark.parametrize("window_id", ["", "gap-1"])
async def test_the_operators_window_is_left_alone(front: Front, window_id: str) -> None:
    await (front.profiles.open_with_id("gap-1", SLOW) if window_id else front.profiles.open(SLOW))
    assert levels(await trace(front))[0] == ["OFF"]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await trace(front, trace_level=["TIMESTAMPS"])
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    await trace(front, trace_level=["OFF"])
    assert front.profiles.calls == ["start", "open slow"]


async def test_wrong_log_settings_are_refused(front: Front) -> None:
    kind = oip.LogSettingsRequest.SettingValue
    for name, value in {
        "log_file": kind(string_param="/tmp/x"),
        "log_info": kind(uint32_param=1),
        "log_error": kind(bool_param=False),
        "log_warning": kind(bool_param=False),
        "log_verbose_level": kind(bool_param=True),
        "log_format": kind(string_param="default"),
        "logs": kind(bool_param=True),
    }.items():
        before = await stub(front).LogSettings(oip.LogSettingsRequest())
        settings = {"log_info": kind(bool_param=True), name: value} if name == "log_warning" else {name: value}
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub(front).LogSettings(oip.LogSettingsRequest(settings=settings))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (error.value.details() or "").startswith(f"settings.{name}: ")
        assert await stub(front).LogSettings(oip.LogSettingsRequest()) == before
