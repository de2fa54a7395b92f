"""The batch engine on the hello model: same tokens in any company, one run for all rows, each error alone."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.batch.graph import Graph, Ids, Logits
from genai_runtime.engine.ort import OrtError, RunOptions
from genai_runtime.engine.single import SingleEngine
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import EngineEvent, FinishReason, Guidance, Sampling
from support.batch_engines import GREEDY, PENALISED, SEEDED, Make, alone, batch_engines, free_run
from support.engines import end_of, hello_spec, prompt_of, request, run_engine, tokens_of

pytestmark = pytest.mark.model


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def engine(make: Make) -> BatchEngine:
    return make()


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 65, 66, 67, 129, 300, 900])
def test_greedy_tokens_are_the_single_engines(engine: BatchEngine, tmp_path: Path, length: int) -> None:
    single = SingleEngine()
    single.load(hello_spec(tmp_path))
    wanted = request("r", prompt_of(length), 40)
    single.submit(wanted)
    reference = run_engine(single)
    single.close()
    engine.submit(wanted)
    events = run_engine(engine)
    assert tokens_of(events, "r") == tokens_of(reference, "r")
    mine, theirs = end_of(events, "r"), end_of(reference, "r")
    assert (mine.reason, mine.prompt_tokens, mine.completion_tokens) == (
        theirs.reason,
        theirs.prompt_tokens,
        theirs.completion_tokens,
    )
    assert mine.stop_token_id == (2 if mine.reason is FinishReason.STOP else -1)


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, PENALISED], ids=["greedy", "seeded", "penalised"])
def test_company_changes_nothing(make: Make, sampling: Sampling) -> None:
    engine = make(prefix_cache_bytes=0)
    wanted = [
        free_run(f"r{n}", length, n, 25 + n, sampling=sampling)
        for n, length in enumerate([1, 2, 3, 15, 16, 17, 40, 64, 65, 66, 80, 128, 129, 200, 300, 500])
    ]
    expected = {each.request_id: alone(engine, each) for each in wanted}
    rng = random.Random(5)
    for _ in range(2):
        rng.shuffle(wanted)
        events: list[EngineEvent] = []
        for each in wanted:  # they join at different times, and leave at different times
            engine.submit(each)
            for _ in range(rng.randrange(4)):
                events += engine.step()
        run_engine(engine, events)
        assert {name: tokens_of(events, name) for name in expected} == expected


def test_one_step_serves_all_rows(engine: BatchEngine) -> None:
    for n in range(5):
        engine.submit(free_run(f"r{n}", 1, n, 50))
    for _ in range(5):
        engine.step()
    before = engine.stats()
    assert (before.running, before.waiting) == (5, 0)
    engine.step()
    after = engine.stats()
    assert after.decode_runs == before.decode_runs + 1
    assert after.generated_tokens == before.generated_tokens + 5


def test_more_requests_than_rows_take_turns_by_priority(make: Make) -> None:
    engine = make(max_concurrent=2)
    for n in range(6):
        engine.submit(free_run(f"r{n}", 5, n, 10, priority=n % 2))
    events = run_engine(engine)
    first = {}
    for number, event in enumerate(events):
        first.setdefault(getattr(event, "request_id", ""), number)
    assert sorted(first, key=lambda name: first[name]) == ["r1", "r3", "r5", "r0", "r2", "r4"]


def test_stop_tokens_ends_and_limits(engine: BatchEngine) -> None:
    free = alone(engine, free_run("r", 40, 0, 40))
    assert 2 in free
    stop = next(token for token in free[5:] if token not in free[:5])
    engine.submit(free_run("r", 40, 0, 40, stop_token_ids=[stop]))
    events = run_engine(engine)
    assert tokens_of(events, "r") == free[: free.index(stop)]
    assert (end_of(events, "r").reason, end_of(events, "r").stop_token_id) == (FinishReason.STOP, stop)
    engine.submit(dataclasses.replace(request("r", prompt_of(40), 40), min_tokens=30))
    events = run_engine(engine)
    assert end_of(events, "r").completion_tokens >= 30
    assert 2 not in tokens_of(events, "r")


def test_the_sequence_is_bounded(make: Make) -> None:
    engine = make(max_sequence_length=128)
    engine.submit(free_run("r", 100, 0, 500))
    end = end_of(run_engine(engine), "r")
    assert (end.reason, end.completion_tokens) == (FinishReason.LENGTH, 28)


def test_logprobs_come_with_each_token(engine: BatchEngine) -> None:
    engine.submit(free_run("r", 20, 0, 5, logprobs=3))
    pieces = [piece for piece in run_engine(engine) if hasattr(piece, "logprobs")]
    assert len(pieces) == 5
    for piece in pieces:
        (token,) = piece.logprobs
        assert (token.id, len(token.top)) == (piece.ids[0], 3)
        assert token.top[0][1] == token.logprob <= 0


def test_guidance_is_followed_and_holds_nobody_up(engine: BatchEngine) -> None:
    engine.submit(free_run("free", 10, 0, 40))
    engine.submit(free_run("guided", 10, 1, 40, guidance=Guidance("regex", "[a-z]{3}x"), ignore_eos=False))
    engine.submit(free_run("bad", 10, 2, 40, guidance=Guidance("regex", "(")))
    events = run_engine(engine)
    assert end_of(events, "guided").reason is FinishReason.STOP
    bad = end_of(events, "bad")
    assert bad.reason is FinishReason.ERROR
    assert "guidance" in bad.message
    assert end_of(events, "free").completion_tokens == 40


@pytest.mark.parametrize("prompt", [[], [1280], [-1], [2**70], prompt_of(1024)])
def test_a_bad_prompt_ends_alone(engine: BatchEngine, prompt: list[int]) -> None:
    engine.submit(request("bad", prompt, 3))
    engine.submit(request("good", prompt_of(20), 3))
    events = run_engine(engine)
    assert end_of(events, "bad").reason is FinishReason.ERROR
    assert end_of(events, "bad").message
    assert end_of(events, "bad").prompt_tokens == len(prompt)
    assert end_of(events, "good").reason is not FinishReason.ERROR


def test_an_unknown_adapter_is_an_error_in_words(engine: BatchEngine) -> None:
    engine.submit(free_run("r", 5, adapter="x"))
    assert "no adapter 'x'" in end_of(run_engine(engine), "r").message


def test_a_request_is_submitted_once(engine: BatchEngine) -> None:
    engine.submit(request("r", prompt_of(5), 3))
    with pytest.raises(EngineFailure, match="twice"):
        engine.submit(request("r", prompt_of(5), 3))


def _failing(monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    """Runs with the token `bad` fail, as they would for want of memory."""
    decode, prefill = Graph.decode, Graph.prefill

    def failing_decode(graph: Graph, n: int, lengths: list[int], run_options: RunOptions, first: int = 0) -> Logits:
        if bad in graph.ids[first : first + n]:
            raise OrtError(6, "no memory")
        return decode(graph, n, lengths, run_options, first)

    def failing_prefill(graph: Graph, row: int, ids: Ids, past: int, run_options: RunOptions | None = None) -> None:
        if bad in ids:
            raise OrtError(6, "no memory")
        prefill(graph, row, ids, past, run_options)

    monkeypatch.setattr(Graph, "decode", failing_decode)
    monkeypatch.setattr(Graph, "prefill", failing_prefill)


@pytest.mark.parametrize("where", ["prefill", "decode"])
def test_a_run_that_fails_for_one_request_ends_it_alone(
    engine: BatchEngine, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    wanted = [free_run(f"r{n}", 20 + n, n, 30) for n in range(5)]
    expected = {each.request_id: alone(engine, each) for each in wanted}
    bad = 7
    prompt = [*prompt_of(10), bad, *([5] * (where == "prefill"))]
    assert not any(bad in each.prompt or bad in expected[each.request_id] for each in wanted)
    _failing(monkeypatch, bad)
    for each in wanted[:3]:
        engine.submit(each)
    engine.submit(request("bad", prompt, 30))
    for each in wanted[3:]:
        engine.submit(each)
    events = run_engine(engine)
    end = end_of(events, "bad")
    assert (end.reason, end.completion_tokens) == (FinishReason.ERROR, 0)
    assert "no memory" in end.message
    assert {name: tokens_of(events, name) for name in expected} == expected
    assert engine.stats().kv_tokens_used == 0
