"""What is drawn has exactly the distribution that the options describe: chi-square, for every path."""

import numpy as np
import pytest

from genai_runtime.engine.batch.distribution import draw, largest
from genai_runtime.engine.batch.sampling import sample
from genai_runtime.generation import Sampling
from support.sampling import expected_probabilities, make_row, random_logits

DRAWS = 16_000
ROWS = 16
OPTIONS = {
    "temperature alone": {"temperature": 1.0},
    "a cold temperature": {"temperature": 0.4},
    "top-k": {"temperature": 0.8, "top_k": 20},
    "a top-k beyond half of the vocabulary": {"temperature": 2.0, "top_k": 1500},
    "top-p": {"temperature": 1.0, "top_p": 0.7},
    "a top-p that cuts almost nothing": {"temperature": 1.5, "top_p": 0.99},
    "a top-p of a few tokens": {"temperature": 1.0, "top_p": 0.1},
    "top-k and top-p": {"temperature": 0.9, "top_k": 40, "top_p": 0.8},
    "min-p": {"temperature": 1.0, "min_p": 0.05},
    "all of them": {"temperature": 1.2, "top_k": 30, "top_p": 0.9, "min_p": 0.1},
    "top-p and min-p, without top-k": {"temperature": 1.3, "top_p": 0.6, "min_p": 0.2},
}


# Short rows, rows in blocks, rows that fill their blocks, and rows long enough for top-k by blocks.
@pytest.mark.parametrize("vocabulary", [50, 2500, 4096, 40_000])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_drawn_tokens_have_the_distribution_of_their_options(vocabulary: int, options: dict[str, float]) -> None:
    if vocabulary == 40_000 and options.keys() != {"temperature", "top_k", "top_p"}:
        options = {**options, "top_k": 25}
    logits = random_logits(7, 1, vocabulary)[0]
    rows = [make_row(vocabulary, seed=seed, **options) for seed in range(ROWS)]
    batch = np.repeat(logits[None], ROWS, 0)
    counts = np.zeros(vocabulary)
    for _ in range(DRAWS // ROWS):
        for choice, row in zip(sample(batch, rows), rows, strict=True):
            counts[choice.token] += 1
            row.accept(choice.token)
    expected = expected_probabilities(logits, rows[0].request.sampling) * DRAWS
    assert counts[expected == 0].sum() == 0
    often = expected > 8
    cells = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum())
    cells, wanted = cells[wanted > 0], wanted[wanted > 0]
    freedom = max(len(cells) - 1, 1)
    chi_square = ((cells - wanted) ** 2 / wanted).sum()
    assert chi_square < freedom + 4.5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("vocabulary", [1, 2, 63, 64, 65, 1024, 1025, 5000])
def test_every_position_can_be_drawn_at_its_share(vocabulary: int) -> None:
    logits = np.zeros(vocabulary, np.float32)
    drawn = [draw(logits, Sampling(temperature=1.0), lambda at=at: (at + 0.5) / vocabulary) for at in range(vocabulary)]
    assert sorted(drawn) == list(range(vocabulary))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("vocabulary", [3, 5000])
def test_tokens_of_no_weight_are_never_drawn(vocabulary: int, uniform: float) -> None:
    logits = np.full(vocabulary, -np.inf, np.float32)
    logits[vocabulary // 2] = -7.0
    for sampling in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_k=2, top_p=0.9, min_p=0.01)):
        assert draw(logits, sampling, lambda: uniform) == vocabulary // 2


@pytest.mark.parametrize(
    "options",
    [{"top_k": 1}, {"top_p": 1e-12}, {"min_p": 1.0}, {"temperature": 1e-3}],
    ids=["top-k 1", "a top-p of nothing", "min-p 1", "almost cold"],
)
def test_the_narrowest_options_leave_the_likeliest_token(options: dict[str, float]) -> None:
    logits = random_logits(3, 1, 3000)[0]
    row = make_row(3000, **{"temperature": 1.0, "seed": 1, **options})
    for _ in range(50):
        (choice,) = sample(logits[None], [row])
        assert choice.token == int(logits.argmax())
        row.accept(choice.token)


@pytest.mark.parametrize("options", [{"top_k": 4000}, {"top_k": 3000}, {"top_p": 1.0}, {"min_p": 0.0}])
def test_the_widest_options_change_nothing(options: dict[str, float]) -> None:
    logits = random_logits(3, 20, 3000)
    rows = [make_row(3000, temperature=1.0, seed=seed) for seed in range(20)]
    wide = [make_row(3000, temperature=1.0, seed=seed, **options) for seed in range(20)]
    assert sample(logits, rows) == sample(logits, wide)


def test_equal_logits_stay_or_go_together() -> None:
    logits = np.array([0, 3, 1, 3, 1, 3, -1], np.float32)
    for options in ({"top_k": 2}, {"top_p": 0.01}, {"min_p": 0.9}):
        row = make_row(7, temperature=1.0, seed=0, **options)
        drawn = set()
        for _ in range(200):
            (choice,) = sample(logits[None], [row])
            drawn.add(choice.token)
            row.accept(choice.token)
        assert drawn == {1, 3, 5}


@pytest.mark.parametrize("size", [5, 100, 5000, 30_001])
@pytest.mark.parametrize("count", [1, 3, 5, 40])
def test_the_largest_values_are_those_that_sorting_finds(size: int, count: int) -> None:
    for levels in (0, 4):  # with many equal values too
        values = random_logits(size + count, 1, size)[0]
        if levels:
            values = np.round(values * levels / 10).astype(np.float32)
        wanted = min(count, size)
        least = np.sort(values)[-wanted]
        assert largest(values, wanted).tolist() == np.flatnonzero(values >= least).tolist()
