"""Where the operators ran, as a real server with the hello model sees it at its warm-up."""

import asyncio
from pathlib import Path

import pytest

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import Window
from genai_runtime.errors import EngineFailure, NotServing
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.generation import GenerationRequest
from support.engines import drain, hello_spec, prompt_of
from support.hello_server import hello_server

pytestmark = pytest.mark.model
CPU = "CPUExecutionProvider"


def kept_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("engine", ["batch", "single"])
async def test_a_server_knows_where_its_operators_run_and_leaves_no_profile(tmp_path: Path, engine: str) -> None:
    async with hello_server(tmp_path, engine=engine, warmup_prompts=["Hello"]) as hello:
        model = await hello.genai.GetModel(pb.GetModelRequest())
        assert model.engine == engine
        assert [each.provider for each in model.placement] == [CPU]
        assert model.placement[0].share == pytest.approx(1.0)
        assert 1 <= len(model.placement[0].operators) <= 5
        assert hello.profiles.list() == []
        assert hello.profiles.newest() is None
        assert kept_files(tmp_path / "profiles") == []


async def test_a_server_that_comes_up_halted_has_warmed_up(tmp_path: Path) -> None:
    async with hello_server(tmp_path, halted=True, warmup_prompts=["Hello"]) as hello:
        model = await hello.genai.GetModel(pb.GetModelRequest())
        assert model.warmup_tokens_per_second > 0
        assert [each.provider for each in model.placement] == [CPU]


async def test_without_a_warm_up_nothing_is_timed(tmp_path: Path) -> None:
    async with hello_server(tmp_path, warmup_prompts=[]) as hello:
        assert not (await hello.genai.GetModel(pb.GetModelRequest())).placement


async def test_an_own_window_and_a_profiles_window_never_meet(tmp_path: Path) -> None:
    engine = EngineProcess(hello_spec(tmp_path))
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await engine.start()
    try:
        await registry.open(WantedWindow("mine"))

        async def never() -> None:
            raise AssertionError

        with pytest.raises(NotServing, match="window is open"):
            await registry.operators(never, 4)
        await registry.close("disabled")
        await registry.settle()

        async def opens() -> None:
            with pytest.raises(NotServing, match="timing its own operators"):
                await registry.open(WantedWindow("other"))
            raise KeyError

        with pytest.raises(KeyError):
            await registry.operators(opens, 4)
        await registry.open(WantedWindow("later"))
        await registry.close("disabled")
        await registry.settle()
    finally:
        await registry.stop()
        await engine.stop()
    assert [profile.label for profile in registry.list()] == ["later", "mine"]


async def test_only_the_runs_of_a_client_are_timed(tmp_path: Path) -> None:
    engine = EngineProcess(hello_spec(tmp_path))
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await engine.start()

    async def work() -> None:
        request = GenerationRequest("r", prompt_of(20), 4, ignore_eos=True, client="mine")
        await drain(engine.submit(request))

    try:
        assert await registry.operators(work, 16, "mine")
        with pytest.raises(EngineFailure, match="could not be timed"):
            await registry.operators(work, 16, "another")
    finally:
        await registry.stop()
        await engine.stop()


async def test_what_a_killed_process_left_of_an_own_window_is_removed(tmp_path: Path) -> None:
    engine = EngineProcess(hello_spec(tmp_path))
    await engine.start()
    engine.open_window(Window("own-1", 5, 10**6, 60.0))
    await engine.stats()
    while not (tmp_path / "own-1.raw").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    await engine.stop()
    registry = ProfileRegistry(tmp_path, EngineProcess(hello_spec(tmp_path)))
    await registry.start()
    assert registry.list() == []
    assert kept_files(tmp_path) == []
