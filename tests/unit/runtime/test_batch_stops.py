"""Cancel, halt and terminate inside runs of the batch engine: nobody else notices, and no row is lost."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.generation import EngineEvent, FinishReason
from support.batch_engines import Make, alone, batch_engines, free_run
from support.engines import end_of, run_engine, tokens_of

pytestmark = pytest.mark.model

HITS = 16


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def engine(make: Make) -> BatchEngine:
    return make()


class Watcher:
    """Calls `act` from another thread, again and again, while the engine runs."""

    def __init__(self, act: Callable[[], None], seconds: float = 0.0) -> None:
        self._act, self._seconds = act, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._act()

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def terminate(engine: BatchEngine, hits: Counter[str]) -> None:
    """End the run in progress, as if somebody had asked for it, until `HITS` of its kind were ended."""
    assert engine._parts is not None
    runs = engine._parts.runs
    with engine._lock:
        if runs._current is not None and hits[runs._kind] < HITS:
            runs._current.terminate()
            hits[runs._kind] += 1


def test_terminated_runs_are_done_again_with_the_same_result(make: Make) -> None:
    engine = make(prefix_cache_bytes=0)
    wanted = [free_run(f"r{n}", length, n, 60) for n, length in enumerate([30, 500, 700, 64, 300, 900, 5, 450])]
    expected = {each.request_id: alone(engine, each) for each in wanted}
    hits: Counter[str] = Counter(prefill=0, decode=0)
    events: list[EngineEvent] = []
    with Watcher(lambda: terminate(engine, hits), 0.0005):
        while min(hits.values()) < HITS:
            for each in wanted:
                engine.submit(each)
            events = run_engine(engine)
            assert {name: tokens_of(events, name) for name in expected} == expected


def test_a_cancel_ends_the_joining_prompt_inside_its_run(make: Make) -> None:
    engine = make(max_sequence_length=4096, prefill_chunk=4000, prefix_cache_bytes=0)
    company = free_run("company", 20, 1, 100)
    expected = alone(engine, company)
    engine.submit(company)
    events = engine.step()
    engine.submit(free_run("long", 3900, 2, 5))

    def cancel() -> None:
        assert engine._parts is not None
        if engine._parts.runs._current is not None and engine._joining is not None:
            engine.cancel("long", FinishReason.CANCELLED)

    with Watcher(cancel, 0.002):
        run_engine(engine, events)
    end = end_of(events, "long")
    assert (end.reason, end.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert end.prefill_seconds > 0
    assert engine.stats().prompt_tokens == 40  # of the company, twice; the cancelled prompt was not computed
    assert tokens_of(events, "company") == expected


def test_a_cancelled_row_leaves_at_the_next_step_and_others_go_on(engine: BatchEngine) -> None:
    wanted = [free_run(f"r{n}", 30 + n, n, 40) for n in range(4)]
    expected = {each.request_id: alone(engine, each) for each in wanted}
    events: list[EngineEvent] = []
    for each in wanted:
        engine.submit(each)
    for _ in range(10):
        events += engine.step()
    engine.cancel("r1", FinishReason.STOP)
    engine.cancel("r1", FinishReason.CANCELLED)  # the first reason holds
    engine.cancel("unknown", FinishReason.CANCELLED)
    events += engine.step()
    assert end_of(events, "r1").reason is FinishReason.STOP
    run_engine(engine, events)
    assert tokens_of(events, "r1") == expected["r1"][: end_of(events, "r1").completion_tokens]
    for name in ("r0", "r2", "r3"):
        assert tokens_of(events, name) == expected[name]


def test_halt_ends_all_and_resume_starts_clean(engine: BatchEngine) -> None:
    wanted = free_run("again", 400, 3, 25)
    expected = alone(engine, wanted)
    for n in range(20):  # more than there are rows
        engine.submit(free_run(f"r{n}", 200, n, 100))
    for _ in range(30):
        engine.step()
    engine.halt()
    engine.submit(free_run("refused", 5))
    events = run_engine(engine)
    assert all(end_of(events, f"r{n}").reason is FinishReason.TERMINATED for n in range(20))
    assert end_of(events, "refused").reason is FinishReason.TERMINATED
    assert (engine.stats().running, engine.stats().waiting, engine.stats().kv_tokens_used) == (0, 0, 0)
    engine.resume()
    assert alone(engine, wanted) == expected


def test_two_thousand_cancels_leak_no_row(engine: BatchEngine) -> None:
    wanted = free_run("after", 100, 7, 30)
    expected = alone(engine, wanted)
    rng = random.Random(1)
    live: list[str] = []
    ended: list[EngineEvent] = []
    reasons = [FinishReason.CANCELLED, FinishReason.DEADLINE, FinishReason.STOP]
    for n in range(2000):
        engine.submit(free_run(f"r{n}", rng.choice([1, 2, 30, 65, 200]), n, 50))
        live.append(f"r{n}")
        if len(live) > 24:
            engine.cancel(live.pop(rng.randrange(len(live))), rng.choice(reasons))
        if n % 3 == 0:
            ended += engine.step()
    for name in live:
        engine.cancel(name, FinishReason.CANCELLED)
    run_engine(engine, ended)
    assert len([event for event in ended if hasattr(event, "reason")]) == 2000
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.kv_tokens_used) == (0, 0, 0)
    assert not engine.busy()
    assert alone(engine, wanted) == expected
