"""Profiling windows on a running batch."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.protocol import Window
from genai_runtime.generation import EngineEvent, GenerationRequest, WindowProgress
from genai_runtime.profiling.manifest import Run, read_manifest
from genai_runtime.profiling.merge import merge
from genai_runtime.profiling.selection import Selection
from support.batch_engines import Make, batch_engines, free_run
from support.chrome_trace import read_trace, spans
from support.engines import end_of, run_engine, tokens_of

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


def selected(
    engine: BatchEngine, folder: Path, selection: Selection, wanted: list[GenerationRequest]
) -> tuple[WindowProgress, list[Run], list[EngineEvent]]:
    """The window's last word, the runs it captured, and all events, of requests that are there from the beginning."""
    window_id = "w-20260101T000000Z-3"
    engine.open_window(Window(window_id, 10_000, 10**9, 600.0, selection))
    for each in wanted:
        engine.submit(each)
    events = run_engine(engine)
    engine.close_window("disabled")
    events += engine.step()
    closed = [event for event in events if isinstance(event, WindowProgress)][-1]
    return closed, read_manifest(folder / f"{window_id}.raw").runs, events


def test_any_decode_run_of_a_live_batch_is_captured_alone(engine: BatchEngine, tmp_path: Path) -> None:
    wanted = [free_run(f"r{n}", 70, n, 12) for n in range(3)]
    closed, runs, _ = selected(engine, tmp_path, Selection(runs="4-5", request_ids=("r1",)), wanted)
    stats = engine.stats()
    assert [(run.kind, run.requests["r1"]) for run in runs] == [("decode", 5), ("decode", 6)]
    assert all(len(run.requests) > 1 for run in runs)
    assert closed.runs + closed.skipped_runs == stats.prefill_runs + stats.decode_runs
    assert (closed.runs, closed.dropped_runs) == (2, 0)


def test_prompts_of_one_client_are_captured_alone(engine: BatchEngine, tmp_path: Path) -> None:
    wanted = [replace(free_run(f"r{n}", 70, n, 4), client=("alice", "bob")[n % 2]) for n in range(4)]
    _, runs, _ = selected(engine, tmp_path, Selection(runs="prefill", clients=("bob",)), wanted)
    assert {run.kind for run in runs} == {"prefill"}
    assert {name for run in runs for name in run.requests} == {"r1", "r3"}


def test_one_run_in_n_is_captured_and_tokens_stay_the_same(engine: BatchEngine, tmp_path: Path) -> None:
    wanted = [free_run(f"r{n}", 20, n, 100) for n in range(2)]
    closed, runs, events = selected(engine, tmp_path, Selection(runs="every 10"), wanted)
    every = closed.runs + closed.skipped_runs
    assert len(runs) == closed.runs == -(-every // 10)
    alone = [replace(each, request_id=f"{each.request_id}-again") for each in wanted]
    for each in alone:
        engine.submit(each)
    later = run_engine(engine)
    for first, again in zip(wanted, alone, strict=True):
        assert tokens_of(events, first.request_id) == tokens_of(later, again.request_id)


def test_the_cost_is_told_where_enough_tokens_came_before(engine: BatchEngine, tmp_path: Path) -> None:
    engine.submit(free_run("a", 10, 1, 180))
    for _ in range(90):
        engine.step()
    engine.open_window(Window("w-20260101T000000Z-4", 10_000, 10**9, 600.0))
    events = run_engine(engine)
    engine.close_window("disabled")
    closed = [event for event in engine.step() if isinstance(event, WindowProgress)][-1]
    assert end_of(events, "a").completion_tokens == 180
    assert closed.overhead_percent is not None
    assert closed.overhead_percent < 100
    engine.open_window(Window("w-20260101T000000Z-5", 10_000, 10**9, 600.0))
    engine.close_window("disabled")
    assert [event.overhead_percent for event in engine.step() if isinstance(event, WindowProgress)][-1] is None


def test_tokens_are_timed_where_their_run_was_captured(engine: BatchEngine, tmp_path: Path) -> None:
    _, runs, _ = selected(engine, tmp_path, Selection(runs="prefill,4-5"), [free_run("r", 70, 0, 12)])
    decodes = [run for run in runs if run.kind == "decode"]
    assert [run.requests for run in decodes] == [{"r": 5}, {"r": 6}]
    for run in runs:
        assert (run.sampled is not None) == (run.kind == "decode")
        assert run.sampled is None or run.end_ns <= run.sampled[0] <= run.sampled[1]
        assert (run.cached, run.kv_tokens >= 70) == ({"r": 0}, True)
    lines = (tmp_path / "w-20260101T000000Z-3.raw" / "runs.jsonl").read_text().splitlines()
    assert len([line for line in lines if line.startswith('{"sampled"')]) == len(decodes)
