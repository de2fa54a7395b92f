"""The engine process over its socket: the fake one for faults, the real one for what only ONNX Runtime shows."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_runtime.engine.fake import fake_token
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import Window
from genai_runtime.errors import EngineFailure, ModelUnusable
from genai_runtime.generation import FinishReason, Tokens, WindowProgress
from support.engines import drain, hello_spec, prompt_of, request

CRASH = 1001  # not among prompt_of's ids
FOREVER = 3_000


@asynccontextmanager
async def engine_process(folder: Path, engine: str = "fake", **faults: object) -> AsyncIterator[EngineProcess]:
    environment = {f"GENAI_FAKE_{name.upper()}": str(value) for name, value in faults.items()}
    process = EngineProcess(hello_spec(folder), engine, environment=environment)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def _first_token(stream: Any) -> None:
    assert isinstance((await stream.next_events())[0], Tokens)


@pytest.mark.parametrize("engine", ["fake", pytest.param("auto", marks=pytest.mark.model)])
async def test_requests_run_beside_each_other(tmp_path: Path, engine: str) -> None:
    async with engine_process(tmp_path, engine) as process:
        streams = [process.submit(request(f"r{n}", prompt_of(50, n), 10)) for n in range(4)]
        ends = await asyncio.gather(*(drain(stream) for stream in streams))
        for tokens, end in ends:
            assert end.completion_tokens == len(tokens)
            assert end.prompt_tokens == 50
            assert end.reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert (await process.stats()).generated_tokens == sum(len(tokens) for tokens, _ in ends)


async def test_the_fake_is_predictable(tmp_path: Path) -> None:
    async with engine_process(tmp_path) as process:
        tokens, end = await drain(process.submit(request("r", prompt_of(9), 5)))
        assert tokens == [fake_token(prompt_of(9), index, 1280) for index in range(5)]
        assert end.reason is FinishReason.LENGTH


async def test_auto_says_what_it_took(tmp_path: Path) -> None:
    async with engine_process(tmp_path, "auto") as process:
        assert process.info is not None
        assert process.info.engine == "batch"
        assert "auto" in process.info.engine_reason


async def test_a_cancel_right_after_the_submit_is_not_lost(tmp_path: Path) -> None:
    async with engine_process(tmp_path, step_seconds=0.01) as process:
        for n in range(50):
            stream = process.submit(request(f"r{n}", prompt_of(3), FOREVER))
            process.cancel(f"r{n}", FinishReason.CANCELLED)
            _, end = await drain(stream)
            assert end.reason is FinishReason.CANCELLED


@pytest.mark.parametrize("engine", ["fake", pytest.param("single", marks=pytest.mark.model)])
async def test_halt_ends_all_and_resume_serves_again(tmp_path: Path, engine: str) -> None:
    async with engine_process(tmp_path, engine, step_seconds=0.01) as process:
        pid = process.pid
        streams = [process.submit(request(f"r{n}", prompt_of(2000, n), 1000)) for n in range(3)]
        process.halt()
        assert {(await drain(stream))[1].reason for stream in streams} == {FinishReason.TERMINATED}
        _, refused = await drain(process.submit(request("late", prompt_of(3), 2)))
        assert refused.reason is FinishReason.TERMINATED
        process.resume()
        _, end = await drain(process.submit(request("again", prompt_of(3), 2)))
        assert end.reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert process.pid == pid


async def test_a_halt_reaches_a_long_prefill(tmp_path: Path) -> None:
    async with engine_process(tmp_path, prefill_seconds=200) as process:
        stream = process.submit(request("r", prompt_of(3), 2))
        assert (await process.stats()).generated_tokens == 0
        process.halt()
        tokens, end = await drain(stream)
        assert (tokens, end.reason) == ([], FinishReason.TERMINATED)


async def test_an_error_ends_only_its_request(tmp_path: Path) -> None:
    async with engine_process(tmp_path, error_token=CRASH, step_seconds=0.01) as process:
        good = process.submit(request("good", prompt_of(3), 5))
        _, bad = await drain(process.submit(request("bad", [CRASH], 5)))
        assert bad.reason is FinishReason.ERROR
        assert bad.message
        assert (await drain(good))[1].reason is FinishReason.LENGTH


@pytest.mark.parametrize("engine", ["fake", pytest.param("single", marks=pytest.mark.model)])
async def test_a_killed_engine_fails_its_requests_and_comes_back_halted(tmp_path: Path, engine: str) -> None:
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with engine_process(tmp_path, engine, step_seconds=0.01) as process:
        process.on_change(changes.put_nowait)
        stream = process.submit(request("r", prompt_of(3), FOREVER))
        await process.stats()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(EngineFailure, match="killed"):
            await drain(stream)
        assert await changes.get() is False
        with pytest.raises(EngineFailure, match="killed"):
            process.submit(request("down", prompt_of(3)))
        process.halt()
        assert await changes.get() is True
        _, end = await drain(process.submit(request("halted", prompt_of(3))))
        assert end.reason is FinishReason.TERMINATED
        process.resume()
        _, end = await drain(process.submit(request("back", prompt_of(3), 3)))
        assert end.reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert process.restarts == 1


async def test_a_crashing_request_is_named_by_its_signal(tmp_path: Path) -> None:
    async with engine_process(tmp_path, crash_token=CRASH) as process:
        with pytest.raises(EngineFailure, match="SIGSEGV"):
            await drain(process.submit(request("r", [CRASH])))


async def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    process = EngineProcess(hello_spec(tmp_path, model_dir=tmp_path / "none"), "single")
    with pytest.raises(ModelUnusable) as caught:
        await process.start()
    assert caught.value.reason == "ModelNotFound"
    await process.stop()


async def test_an_engine_that_dies_loading_is_a_failure(tmp_path: Path) -> None:
    process = EngineProcess(hello_spec(tmp_path), "fake", environment={"GENAI_FAKE_LOAD_CRASHES": "1"})
    with pytest.raises(EngineFailure, match="loading the model"):
        await process.start()
    await process.stop()


async def _window(process: EngineProcess, window: Window, work: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    closed: asyncio.Future[WindowProgress] = asyncio.get_running_loop().create_future()
    process.on_window_progress(lambda progress: closed.set_result(progress) if progress.closed else None)
    process.open_window(window)
    await work()
    return await closed


@pytest.mark.parametrize("engine", ["fake", pytest.param("single", marks=pytest.mark.model)])
async def test_a_window_ends_by_its_cap_with_a_file_for_every_run(tmp_path: Path, engine: str) -> None:
    async with engine_process(tmp_path, engine) as process:

        async def work() -> None:
            await drain(process.submit(request("r", prompt_of(600), 30)))
            await drain(process.submit(request("s", prompt_of(600, 1), 30)))

        end = await _window(process, Window("w-20260101T000000Z-1", 4, 10**9, 600.0), work)
        assert (end.close_reason, end.runs, end.dropped_runs) == ("max_runs", 4, 0)
        files = list((tmp_path / "w-20260101T000000Z-1.raw").glob("r*.json"))
        assert len(files) == 4
        assert sum(file.stat().st_size for file in files) == end.captured_bytes


async def test_a_window_ends_while_nothing_runs(tmp_path: Path) -> None:
    async with engine_process(tmp_path) as process:

        async def work() -> None:
            return None

        end = await _window(process, Window("w-20260101T000000Z-1", 4, 10**9, 0.01), work)
        assert (end.close_reason, end.runs) == ("max_seconds", 0)


async def test_a_window_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = EngineProcess(hello_spec(tmp_path / "file"), "fake")
    await process.start()

    async def work() -> None:
        return None

    end = await _window(process, Window("w-20260101T000000Z-1", 4, 10**9, 5.0), work)
    assert end.close_reason == "failed"
    assert str(tmp_path / "file") in end.message
    await process.stop()


async def test_stop_ends_requests_and_the_window_and_leaves_no_process(tmp_path: Path) -> None:
    async with engine_process(tmp_path, step_seconds=0.01) as process:
        ends: list[WindowProgress] = []
        process.on_window_progress(ends.append)
        process.open_window(Window("w-20260101T000000Z-1", 10**6, 10**9, 600.0))
        stream = process.submit(request("r", prompt_of(3), FOREVER))
        await _first_token(stream)
        pid = process.pid
        await process.stop()
        assert (await drain(stream))[1].reason is FinishReason.SHUTDOWN
        assert ends[-1].close_reason == "shutdown"
        assert pid is not None
        assert not psutil.pid_exists(pid)
        with pytest.raises(EngineFailure):
            process.submit(request("after", prompt_of(3)))


_FRONT = """
import asyncio, sys
from pathlib import Path
from support.engines import hello_spec, prompt_of, request
from genai_runtime.engine.process import EngineProcess
async def main():
    process = EngineProcess(hello_spec(Path(sys.argv[1])), "fake", environment={"GENAI_FAKE_PREFILL_SECONDS": "500"})
    await process.start()
    process.submit(request("r", prompt_of(3)))
    print(process.pid, flush=True)
    await asyncio.sleep(500)
asyncio.run(main())
"""


def test_an_engine_does_not_outlive_its_killed_front(tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parents[1]
    front = subprocess.Popen(
        [sys.executable, "-c", _FRONT, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )
    with front:
        assert front.stdout is not None
        engine = psutil.Process(int(front.stdout.readline()))
        front.kill()
    assert psutil.wait_procs([engine], timeout=30)[1] == []


async def test_the_log_level_is_live_and_outlives_the_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with engine_process(tmp_path, crash_token=CRASH) as process:

        async def says(request_id: str) -> bool:
            await drain(process.submit(request(request_id, prompt_of(3), 2)))
            await process.stats()
            return f'"{request_id}"' in capfd.readouterr().err

        assert not await says("before")
        process.set_log_level("debug")
        assert await says("debugged")
        came_back = asyncio.Event()
        process.on_change(lambda up: came_back.set() if up else None)
        with pytest.raises(EngineFailure):
            await drain(process.submit(request("crash", [CRASH])))
        await came_back.wait()
        assert await says("restarted")
        process.set_log_level("info")
        assert not await says("after")
