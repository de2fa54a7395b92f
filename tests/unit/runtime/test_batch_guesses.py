"""Several tokens in a run by guesses: fewer runs, no other tokens."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genai_runtime.engine import ort
from genai_runtime.engine.batch.graph import Graph, Ids, Logits
from genai_runtime.generation import Sampling
from support.batch_engines import PENALISED, SEEDED, Make, alone, batch_engines, free_run
from support.engines import end_of, prompt_of, run_engine, tokens_of

pytestmark = pytest.mark.model


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


def test_right_guesses_save_runs(make: Make) -> None:
    plain, guessing = make(), make(speculation="ngram")
    for n in range(6):
        wanted = free_run(f"r{n}", 50 + n, n, 120)
        assert alone(guessing, wanted) == alone(plain, wanted)
    assert guessing.stats().decode_runs < 0.8 * plain.stats().decode_runs


def _verify_one_by_one(
    graph: Graph, row: int, ids: Ids, past: int, run_options: ort.RunOptions | None = None
) -> Logits:
    """What `Graph.verify` computes, by runs of one position: without its other rounding."""
    rows = []
    for number, token in enumerate(ids):
        graph.ids[row] = token
        lengths = [past + number] * graph.rows
        rows.append(graph.decode(1, lengths, run_options, row)[0].copy())
    return np.stack(rows)


@pytest.mark.parametrize("sampling", [SEEDED, PENALISED], ids=["seeded", "penalised"])
def test_guesses_change_no_token(make: Make, monkeypatch: pytest.MonkeyPatch, sampling: Sampling) -> None:
    monkeypatch.setattr(Graph, "verify", _verify_one_by_one)
    plain, guessing = make(), make(speculation="ngram")
    repeating = prompt_of(12) * 5
    for n in range(4):
        wanted = dataclasses.replace(free_run(f"r{n}", 1, 0, 120, sampling=sampling, logprobs=2), prompt=repeating[n:])
        assert alone(guessing, wanted) == alone(plain, wanted)
    assert guessing.stats().decode_runs < plain.stats().decode_runs


def test_guesses_stop_at_the_limit_and_at_stop_tokens(make: Make) -> None:
    plain, guessing = make(), make(speculation="ngram")
    for max_tokens in (1, 2, 3, 17, 100):
        for stops in ([], [2]):
            wanted = free_run("r", 50, 0, max_tokens, stop_token_ids=stops)
            plain.submit(wanted)
            guessing.submit(wanted)
            mine, theirs = run_engine(guessing), run_engine(plain)
            assert tokens_of(mine, "r") == tokens_of(theirs, "r")
            assert end_of(mine, "r").reason is end_of(theirs, "r").reason
