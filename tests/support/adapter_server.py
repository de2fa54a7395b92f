"""A server on a model with weights that adapters replace, two adapters in its folder, and what it can be told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2, inference_pb2_grpc
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import AdapterState
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.front.state import ServingState
from support.engines import hello_spec
from support.lora import head_weights, write_adapter
from support.runtime import holds, settings_for
from support.tiny_decoder import TinyDecoder

_END_STATES = ("loaded", "rejected")


@dataclass
class Served:
    """A server of a model with weights that adapters replace, and two adapters in its folder."""

    engine: EngineProcess
    server: RuntimeServer
    genai: Any
    control: Any
    revision: int = 0

    async def set(self, **adapters: str | Mapping[str, Any]) -> dict[str, str]:
        """What the pod says of each once these are wanted: paths in the model's folder, or fields of a source."""
        self.revision += 1
        wanted = [_adapter(name, place) for name, place in adapters.items()]
        options = control_pb2.RuntimeOptions(adapters=control_pb2.AdaptersOption(adapters=wanted))
        request = control_pb2.SetRuntimeOptionsRequest(revision=str(self.revision), options=options)
        await self.control.SetRuntimeOptions(request)
        await holds(lambda: {each.name for each in self.told if each.state in _END_STATES} == {*adapters})
        return await self.states()

    @property
    def told(self) -> list[AdapterState]:
        """What the front has heard of the engine."""
        return self.server._options.parts.adapters.states

    def words(self, name: str) -> str:
        """Why one was rejected."""
        return next(each.message for each in self.told if each.name == name and each.state == "rejected")

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


def _adapter(name: str, place: str | Mapping[str, Any]) -> control_pb2.Adapter:
    if isinstance(place, str):
        return control_pb2.Adapter(name=name, path=place)
    fields = dict(place)
    return control_pb2.Adapter(name=name, path=fields.pop("path", ""), source=control_pb2.AdapterSource(**fields))


def write_model(folder: Path) -> Path:
    """The model, with `adapters/{legal,medical}.onnx_adapter` in its folder."""
    shape = TinyDecoder(lora_rank=0)
    shape.write(folder)
    (folder / "adapters").mkdir()
    for seed, name in enumerate(("legal", "medical")):
        weights = head_weights(shape.hidden, shape.vocabulary, seed)
        write_adapter(folder / "adapters" / f"{name}.onnx_adapter", weights)
    return folder


@asynccontextmanager
async def serving(tmp_path: Path, **changes: Any) -> AsyncIterator[Served]:
    """While the block runs; `changes` are settings."""
    folder = write_model(tmp_path / "model")
    settings = settings_for(tmp_path, max_concurrent_requests=4, **changes)
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
