"""An engine process that hangs, readers that take nothing, and choices, over the real socket."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineStats
from genai_runtime.errors import EngineFailure, InvalidRequest
from genai_runtime.generation import Finished, FinishReason
from support.engines import drain, hello_spec, prompt_of, request

FOREVER = 3_000


def process_of(folder: Path, silence_seconds: float = 0.0, **faults: object) -> EngineProcess:
    environment = {f"GENAI_FAKE_{name.upper()}": str(value) for name, value in faults.items()}
    return EngineProcess(hello_spec(folder), "fake", silence_seconds=silence_seconds, environment=environment)


async def test_a_process_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    process = process_of(tmp_path, silence_seconds=1.0, step_seconds=0.01)
    changes: asyncio.Queue[bool] = asyncio.Queue()
    await process.start()
    try:
        process.on_change(changes.put_nowait)
        stream = process.submit(request("r", prompt_of(3), FOREVER))
        await stream.next_events()
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(EngineFailure, match=r"was ended while it was serving: it answered nothing for 1 s"):
            await drain(stream)
        assert [await changes.get(), await changes.get()] == [False, True]
        assert process.pid != first
        _, end = await drain(process.submit(request("after", prompt_of(3), 3)))
        assert end.reason is FinishReason.LENGTH
    finally:
        await process.stop()


async def test_a_long_prefill_is_left_alone(tmp_path: Path) -> None:
    process = process_of(tmp_path, silence_seconds=1.5, prefill_seconds=3.0)
    await process.start()
    try:
        _, end = await drain(process.submit(request("r", prompt_of(3), 2)))
        assert end.reason is FinishReason.LENGTH
        assert process.restarts == 0
    finally:
        await process.stop()


async def test_counts_are_told(tmp_path: Path) -> None:
    process = process_of(tmp_path)
    heard: asyncio.Queue[EngineStats] = asyncio.Queue()
    process.on_stats(heard.put_nowait)
    await process.start()
    try:
        await drain(process.submit(request("r", prompt_of(3), 4)))
        while (await heard.get()).generated_tokens < 4:
            pass
    finally:
        await process.stop()


async def test_requests_that_share_a_stream_all_come_out_of_it(tmp_path: Path) -> None:
    process = process_of(tmp_path)
    await process.start()
    try:
        requests = [request(f"r-{number}", prompt_of(3, number), 5 + number) for number in range(4)]
        stream = process.submit(*requests)
        counts = dict.fromkeys(stream.running, 0)
        while stream.running:
            for event in await stream.next_events():
                if not isinstance(event, Finished):
                    counts[event.request_id] += len(event.ids)
        assert counts == {f"r-{number}": 5 + number for number in range(4)}
    finally:
        await process.stop()


async def test_an_unread_stream_is_cut_off_and_others_are_not(tmp_path: Path) -> None:
    process = process_of(tmp_path)
    await process.start()
    try:
        unread = process.submit(
            request("unread", prompt_of(3), FOREVER), request("unread-1", prompt_of(4), FOREVER), max_unread_bytes=3600
        )
        tokens, end = await drain(process.submit(request("read", prompt_of(3), 500)))
        assert (len(tokens), end.reason) == (500, FinishReason.LENGTH)
        events = await unread.next_events()
        while unread.running:
            events += await unread.next_events()
        ends = [event for event in events if isinstance(event, Finished)]
        assert {event.reason for event in ends} == {FinishReason.CANCELLED}
        assert unread.overflowed
        assert len(events) - len(ends) <= 100
    finally:
        await process.stop()


async def test_an_id_is_free_again_when_the_engine_has_ended_it(tmp_path: Path) -> None:
    process = process_of(tmp_path, step_seconds=0.01)
    await process.start()
    try:
        stream = process.submit(request("r", prompt_of(3), FOREVER))
        process.cancel("r", FinishReason.CANCELLED)
        with pytest.raises(InvalidRequest, match="request_id: r names a request that has not ended yet"):
            process.submit(request("r", prompt_of(3)))
        await drain(stream)
        process.submit(request("r", prompt_of(3)))
    finally:
        await process.stop()
