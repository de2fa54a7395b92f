"""LoRA adapters come and go on a server that goes on serving: the real engine process, told over the control socket."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2, inference_pb2_grpc
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import AdapterState
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.front.state import ServingState
from support.engines import hello_spec
from support.lora import write_adapter
from support.runtime import holds, settings_for
from support.tiny_decoder import TinyDecoder

pytestmark = pytest.mark.model


@dataclass
class Served:
    """A server of a model with weights that adapters replace, and two adapters in its folder."""

    engine: EngineProcess
    server: RuntimeServer
    genai: Any
    control: Any
    revision: int = 0

    async def set(self, **adapters: str) -> dict[str, str]:
        """What the pod says of each, once these are wanted."""
        self.revision += 1
        wanted = [control_pb2.Adapter(name=name, path=path) for name, path in adapters.items()]
        options = control_pb2.RuntimeOptions(adapters=control_pb2.AdaptersOption(adapters=wanted))
        request = control_pb2.SetRuntimeOptionsRequest(revision=str(self.revision), options=options)
        await self.control.SetRuntimeOptions(request)
        done = ("loaded", "rejected")
        await holds(lambda: {each.name for each in self.told if each.state in done} == {*adapters})
        return await self.states()

    @property
    def told(self) -> list[AdapterState]:
        """What the front has heard of the engine."""
        return self.server._options.parts.adapters.states

    async def states(self) -> dict[str, str]:
        state = await self.control.GetRuntimeOptions(control_pb2.GetRuntimeOptionsRequest())
        names = {value: name for name, value in control_pb2.AdapterLoading.items()}
        return {each.name: names[each.state].removeprefix("ADAPTER_LOADING_").lower() for each in state.adapters}

    def call(self, adapter: str, tokens: int = 20) -> Any:
        options = inference_pb2.GenerationOptions(max_tokens=tokens, ignore_eos=True, temperature=0, adapter=adapter)
        ids = inference_pb2.TokenIds(ids=range(10, 30))
        return self.genai.Generate(inference_pb2.GenerateRequest(model="tiny", token_ids=ids, options=options))

    async def tokens(self, adapter: str) -> list[int]:
        return [id_ async for each in self.call(adapter) for id_ in each.chunk.token_ids]

    async def refusal(self, adapter: str) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.tokens(adapter)
        return caught.value.code()


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[Served]:
    shape, noise = TinyDecoder(lora_rank=0), np.random.default_rng(3)
    folder = shape.write(tmp_path / "model")
    (folder / "adapters").mkdir()
    for name, scale in (("legal", 1), ("medical", -1)):
        up = noise.normal(0, scale**2, (4, shape.vocabulary)).astype(np.float32) * scale
        down = noise.normal(0, 0.3, (shape.hidden, 4)).astype(np.float32)
        weights = {"lm_head.lora_A.weight": down, "lm_head.lora_B.weight": up}
        write_adapter(folder / "adapters" / f"{name}.onnx_adapter", weights)
    settings = settings_for(tmp_path, max_concurrent_requests=4)
    spec = hello_spec(settings.profile_dir, model_dir=folder, max_concurrent=4, max_sequence_length=512)
    engine = EngineProcess(spec, "batch")
    registry = ProfileRegistry(settings.profile_dir, engine)
    server = RuntimeServer(settings, folder, "tiny", engine, registry)
    task = asyncio.create_task(server.run())
    try:
        await holds(lambda: server.state.state is ServingState.SERVING or task.done())
        async with (
            grpc.aio.insecure_channel(server.addresses["grpc"]) as data,
            grpc.aio.insecure_channel(f"unix:{server.addresses['control_socket']}") as control,
        ):
            stubs = inference_pb2_grpc.GenAIServiceStub(data), control_pb2_grpc.ControlServiceStub(control)
            yield Served(engine, server, *stubs)
    finally:
        server.request_stop()
        server.request_stop()
        await task


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
