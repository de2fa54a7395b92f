"""LoRA adapters come and go on a server that goes on serving: the real engine process, told over the control socket."""

import os
import signal
from pathlib import Path

import grpc
import pytest

from genai_protocol.v1 import inference_pb2
from genai_runtime.front.state import ServingState
from support.adapter_server import serving
from support.runtime import holds

pytestmark = pytest.mark.model


async def test_adapters_come_and_go_while_the_server_serves(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        plain = await served.tokens("")
        assert await served.refusal("legal") is grpc.StatusCode.NOT_FOUND
        assert await served.set(legal="adapters/legal.onnx_adapter") == {"legal": "loaded"}
        legal = await served.tokens("legal")
        assert legal != plain
        assert await served.tokens("") == plain
        both = {"legal": "adapters/legal.onnx_adapter", "medical": "adapters/medical.onnx_adapter", "none": "nothing"}
        assert await served.set(**both) == {"legal": "loaded", "medical": "loaded", "none": "rejected"}
        assert await served.tokens("medical") not in (plain, legal)
        assert await served.refusal("none") is grpc.StatusCode.NOT_FOUND
        card = await served.genai.GetModel(inference_pb2.GetModelRequest(model="tiny"))
        assert [*card.adapters] == ["legal", "medical"]
        assert await served.set() == {}
        assert await served.refusal("legal") is grpc.StatusCode.NOT_FOUND
        assert await served.tokens("") == plain


async def test_an_adapter_in_use_stays_until_its_request_has_ended(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.set(legal="adapters/legal.onnx_adapter")
        call = served.call("legal", tokens=480)
        messages = call.__aiter__()
        await anext(messages)
        assert await served.set() in ({"legal": "unloading"}, {})  # a quick machine may have ended it
        assert await served.refusal("legal") is grpc.StatusCode.NOT_FOUND
        last = [each async for each in messages][-1]
        assert last.finish.reason == inference_pb2.FINISH_REASON_LENGTH
        await holds(lambda: not served.told)


async def test_a_new_engine_process_has_the_adapters_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.set(legal="adapters/legal.onnx_adapter")
        legal, first = await served.tokens("legal"), served.engine.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await holds(
            lambda: served.engine.pid not in (None, first) and served.server.state.state is ServingState.SERVING
        )
        assert await served.tokens("legal") == legal
