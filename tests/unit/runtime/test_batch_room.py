"""Memory of the batch engine: who is put off, what is refused, and kept prefixes; the tokens are always the same."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.errors import ModelUnusable
from genai_runtime.generation import EngineEvent, FinishReason, Sampling
from support.batch_engines import GREEDY, SEEDED, Make, alone, batch_engines, free_run
from support.engines import end_of, prompt_of, run_engine, tokens_of

pytestmark = pytest.mark.model


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def engine(make: Make) -> BatchEngine:
    return make()


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
def test_who_is_put_off_gives_the_same_tokens(make: Make, sampling: Sampling) -> None:
    roomy = make(prefix_cache_bytes=0)
    wanted = [free_run(f"r{n}", 60 + 30 * n, n, 200, sampling=sampling) for n in range(6)]
    expected = {each.request_id: alone(roomy, each) for each in wanted}
    tight = make(kv_cache_bytes=640 * 4096)  # positions for two or three of them
    for each in wanted:
        tight.submit(each)
    events: list[EngineEvent] = []
    while tight.busy():
        events += tight.step()
        stats = tight.stats()
        assert stats.kv_tokens_used + stats.prefix_cache_tokens <= 640
    assert tight.stats().preemptions > 2
    assert {name: tokens_of(events, name) for name in expected} == expected
    assert all(end_of(events, name).completion_tokens == 200 for name in expected)


def test_what_could_never_fit_is_refused_before_it_starts(make: Make) -> None:
    engine = make(kv_cache_bytes=256 * 4096)
    engine.submit(free_run("never", 200, 0, 100))
    engine.submit(free_run("fits", 200, 0, 20))
    events = run_engine(engine)
    end = end_of(events, "never")
    assert (end.reason, end.completion_tokens) == (FinishReason.ERROR, 0)
    assert "memory for 256" in end.message
    assert end_of(events, "fits").completion_tokens == 20


def test_a_cache_larger_than_the_limit_is_refused(make: Make) -> None:
    with pytest.raises(ModelUnusable, match="KV cache of") as caught:
        make(kv_cache_bytes=1 << 40, memory_limit_bytes=1 << 30)
    assert caught.value.reason == "OutOfMemory"


@pytest.mark.parametrize("length", [17, 18, 33, 64, 65, 66, 200, 400, 401, 500])
def test_a_kept_prefix_gives_the_same_tokens(make: Make, length: int) -> None:
    plain, kept = make(prefix_cache_bytes=0), make()
    shared = prompt_of(length, 4)
    for n, tail in enumerate([[], [7, 8], prompt_of(40, 9), prompt_of(130, 10)]):
        wanted = dataclasses.replace(free_run(f"r{n}", 1, 0, 30, logprobs=0), prompt=shared + tail)
        plain.submit(wanted)
        kept.submit(wanted)
        assert [event for event in run_engine(kept) if hasattr(event, "ids")] == [
            event for event in run_engine(plain) if hasattr(event, "ids")
        ]
    stats = kept.stats()
    assert 0 < stats.prefix_cache_hit_tokens < stats.prefix_cache_asked_tokens
    assert plain.stats().prefix_cache_hit_tokens == 0


def test_a_hit_is_told_and_saves_runs(engine: BatchEngine) -> None:
    engine.submit(free_run("first", 400, 0, 2))
    first = end_of(run_engine(engine), "first")
    runs = engine.stats().prefill_runs
    engine.submit(free_run("second", 400, 0, 2))
    second = end_of(run_engine(engine), "second")
    assert (first.cached_tokens, second.cached_tokens) == (0, 384)
    assert engine.stats().prefill_runs == runs + 1
    assert engine.stats().prefix_cache_hit_tokens == 384


def test_a_fresh_prompt_is_computed_whole_and_nothing_of_it_is_kept(engine: BatchEngine) -> None:
    alone(engine, free_run("known", 400, 0, 2))
    runs = engine.stats().prefill_runs
    engine.submit(free_run("fresh", 400, 0, 2, fresh=True))
    assert end_of(run_engine(engine), "fresh").cached_tokens == 0
    assert engine.stats().prefill_runs == 2 * runs
    alone(engine, free_run("other", 400, 1, 2, fresh=True))
    engine.submit(free_run("other", 400, 1, 2))
    assert end_of(run_engine(engine), "other").cached_tokens == 0


def test_a_storm_in_little_memory_changes_no_token_and_leaks_nothing(make: Make) -> None:
    roomy = make(prefix_cache_bytes=0)
    wanted = [
        free_run(f"r{n}", 5 + 21 * (n % 8), n % 2, 40 + 30 * (n % 7), priority=n % 3, sampling=[GREEDY, SEEDED][n % 2])
        for n in range(60)
    ]
    expected = {each.request_id: alone(roomy, each) for each in wanted}
    tight = make(kv_cache_bytes=640 * 4096, max_concurrent=8)
    rng = random.Random(2)
    events: list[EngineEvent] = []
    for each in wanted:
        tight.submit(each)
        for _ in range(rng.randrange(12)):
            events += tight.step()
        if rng.random() < 0.3:
            tight.cancel(f"r{rng.randrange(60)}", FinishReason.CANCELLED)
    run_engine(tight, events)
    stats = tight.stats()
    assert stats.preemptions > 0
    assert stats.prefix_cache_hit_tokens > 0
    assert (stats.running, stats.waiting, stats.kv_tokens_used) == (0, 0, 0)
    reasons = {name: end_of(events, name).reason for name in expected}
    assert set(reasons.values()) == {FinishReason.LENGTH, FinishReason.CANCELLED}
    for name, tokens in expected.items():
        found = tokens_of(events, name)
        assert found == tokens[: len(found)]
        assert reasons[name] is FinishReason.CANCELLED or len(found) == len(tokens)
