"""Profiling windows on a running batch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.protocol import Window
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.merge import merge
from support.batch_engines import Make, batch_engines, free_run
from support.chrome_trace import read_trace, spans
from support.engines import end_of, run_engine

pytestmark = pytest.mark.model


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def engine(make: Make) -> BatchEngine:
    return make()


def test_a_window_on_a_batch_becomes_one_sound_trace(engine: BatchEngine, tmp_path: Path) -> None:
    window_id = "w-20260101T000000Z-1"
    wanted = [free_run(f"r{n}", 70, n, 10) for n in range(3)]
    engine.open_window(Window(window_id, 10_000, 10**9, 600.0))
    for each in wanted:
        engine.submit(each)
    events = run_engine(engine)
    engine.close_window("disabled")
    events += engine.step()
    closed = [event for event in events if isinstance(event, WindowProgress)][-1]
    stats = engine.stats()
    assert (closed.runs, closed.dropped_runs, closed.requests) == (stats.prefill_runs + stats.decode_runs, 0, 3)
    out = tmp_path / "trace.json.gz"
    summary = merge(tmp_path / f"{window_id}.raw", out, "pod")
    assert (summary.runs, summary.requests, summary.dropped_runs) == (closed.runs, 3, 0)
    trace = read_trace(out)
    decodes = [run for run in spans(trace, "run") if run["args"]["kind"] == "decode"]
    made: dict[str, list[int]] = {}
    for run in decodes:
        for name, index in run["args"]["requests"].items():
            made.setdefault(name, []).append(index)
    assert made == {each.request_id: list(range(1, 11)) for each in wanted}
    assert max(len(run["args"]["requests"]) for run in decodes) == 3


def test_a_window_that_opens_in_a_running_batch_sees_only_later_runs(engine: BatchEngine, tmp_path: Path) -> None:
    for n in range(3):
        engine.submit(free_run(f"r{n}", 5, n, 40))
    for _ in range(5):
        engine.step()
    engine.open_window(Window("w-20260101T000000Z-2", 4, 10**9, 600.0))
    events = run_engine(engine)
    closed = [event for event in events if isinstance(event, WindowProgress) and event.closed]
    assert [(each.runs, each.requests, each.close_reason) for each in closed] == [(4, 3, "max_runs")]
    assert all(end_of(events, f"r{n}").completion_tokens == 40 for n in range(3))
