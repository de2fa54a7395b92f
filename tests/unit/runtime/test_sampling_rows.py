"""A row's outcome is its own: whatever else is in the batch, wherever it stands, however often it was put aside."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_runtime.engine.batch.sampling import Choice, RowSampler, sample
from genai_runtime.errors import InvalidRequest
from support.sampling import EOS, Logits, make_row, one, random_logits

VOCABULARY = 1283  # not a multiple of anything a processor likes
MIXED = [
    {},
    {"temperature": 1.0, "seed": 1},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.9, "seed": 2},
    {"temperature": 1.1, "top_p": 0.95, "seed": 3, "logprobs": 5},
    {"temperature": 1.3, "min_p": 0.02, "repetition_penalty": 1.2, "seed": 4},
    {"repetition_penalty": 1.3, "presence_penalty": 0.4, "logprobs": 0},
    {"temperature": 0.9, "frequency_penalty": 0.7, "logit_bias": {7: 3.5, 1200: -50.0}, "seed": 5, "logprobs": 20},
    {"temperature": 1.0, "min_tokens": 30, "stop_token_ids": [9, 11], "seed": 6},
]


def steps(row: RowSampler, logits: list[Logits]) -> list[Choice]:
    chosen = []
    for step in logits:
        chosen.append(one(step, row))
        row.accept(chosen[-1].token)
    return chosen


@pytest.mark.parametrize("options", MIXED)
def test_a_row_gets_the_same_alone_and_anywhere_among_others(options: dict[str, object]) -> None:
    own = [random_logits(step, 1, VOCABULARY)[0] for step in range(12)]
    alone = steps(make_row(VOCABULARY, **options), own)
    for size, place in ((2, 1), (5, 0), (8, 3), (16, 15)):
        row = make_row(VOCABULARY, **options)
        others = [make_row(VOCABULARY, **MIXED[number % len(MIXED)]) for number in range(size)]
        together = []
        for number, step in enumerate(own):
            batch = random_logits(1000 + number, size, VOCABULARY, spread=9.0)
            batch[place] = step
            rows = [*others[:place], row, *others[place + 1 :]]
            choices = sample(batch, rows)
            for each, choice in zip(rows, choices, strict=True):
                each.accept(choice.token)
            together.append(choices[place])
        assert together == alone  # log-probabilities too, to the last bit


@given(offset=st.integers(0, 70), seed=st.integers(0, 2**64 - 1), number=st.integers(0, len(MIXED) - 1))
@settings(deadline=None, max_examples=60)
def test_where_the_logits_lie_in_memory_changes_nothing(offset: int, seed: int, number: int) -> None:
    options = {**MIXED[number], "seed": seed}
    logits = random_logits(seed % 1000, 1, VOCABULARY)
    shifted = np.empty(VOCABULARY + 70, np.float32)[None, offset : offset + VOCABULARY]
    shifted[:] = logits
    assert sample(logits, [make_row(VOCABULARY, **options)]) == sample(shifted, [make_row(VOCABULARY, **options)])


def test_a_seed_decides_and_none_is_random() -> None:
    flat = np.zeros((8, VOCABULARY), np.float32)

    def tokens(seed: int | None) -> list[int]:
        return [choice.token for choice in steps(make_row(VOCABULARY, temperature=1.0, seed=seed), list(flat))]

    assert tokens(11) == tokens(11)
    assert tokens(11) != tokens(12)
    assert tokens(None) != tokens(None)
    assert tokens(-1) == tokens(2**64 - 1)
    assert len(set(tokens(11))) > 4  # the tokens of one request do not repeat one draw


def test_the_random_state_depends_on_the_token_number_alone() -> None:
    flat = np.zeros(VOCABULARY, np.float32)
    whole = steps(make_row(VOCABULARY, temperature=1.0, seed=3), [flat] * 6)
    resumed = make_row(VOCABULARY, temperature=1.0, seed=3)
    for choice in whole[:4]:
        one(flat, resumed)  # chosen twice, as after a run that was thrown away
        assert one(flat, resumed) == choice
        resumed.accept(choice.token)
    assert one(flat, resumed) == whole[4]


def test_the_logits_are_not_changed() -> None:
    logits = random_logits(1, len(MIXED), VOCABULARY)
    before = logits.copy()
    rows = [make_row(VOCABULARY, **options) for options in MIXED]
    for _ in range(3):
        for row, choice in zip(rows, sample(logits, rows), strict=True):
            row.accept(choice.token)
    assert np.array_equal(logits, before)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 2}, {"repetition_penalty": 1.1}])
def test_logits_that_are_no_numbers_end_their_row_alone(poison: float, options: dict[str, float]) -> None:
    logits = random_logits(4, 3, VOCABULARY)
    sound = sample(logits, [make_row(VOCABULARY, **options) for _ in range(3)])
    logits[1, 700] = poison
    choices = sample(logits, [make_row(VOCABULARY, **options) for _ in range(3)])
    assert "not finite" in choices[1].error
    assert choices[1].token == -1
    assert (choices[0], choices[2]) == (sound[0], sound[2])


def test_logits_that_exclude_everything_or_much_are_handled() -> None:
    logits = np.full((2, VOCABULARY), -np.inf, np.float32)
    logits[1, 17] = 3e38
    logits[1, 18] = -3e38
    choices = sample(logits, [make_row(VOCABULARY), make_row(VOCABULARY, temperature=1.0, logprobs=2)])
    assert "excludes every token" in choices[0].error
    assert choices[1].token == 17
    assert choices[1].logprob is not None
    assert [id_ for id_, _ in choices[1].logprob.top] == [17, 18]


def test_end_tokens_wait_for_min_tokens() -> None:
    logits = np.zeros(VOCABULARY, np.float32)
    logits[[EOS, 9]] = 20.0, 19.0
    row = make_row(VOCABULARY, min_tokens=2, stop_token_ids=[9])
    chosen = [choice.token for choice in steps(row, [logits] * 3)]
    assert not {EOS, 9} & set(chosen[:2])
    assert chosen[2] == EOS
    assert row.ends_with(EOS)
    assert row.ends_with(9)
    assert not row.ends_with(10)


def test_ignore_eos_leaves_the_token_and_stop_ids_end() -> None:
    row = make_row(VOCABULARY, ignore_eos=True, stop_token_ids=[9])
    assert not row.ends_with(EOS)
    assert row.ends_with(9)


def test_nothing_left_to_choose_is_an_error_of_the_row() -> None:
    logits = np.full(3, -np.inf, np.float32)
    logits[EOS] = 1.0
    assert "no token is left" in one(logits, make_row(3, min_tokens=1)).error


@pytest.mark.parametrize("penalty", [1e-44, 1e-300])
def test_a_penalty_beyond_numbers_is_an_error_of_the_row(penalty: float) -> None:
    logits = random_logits(1, 2, VOCABULARY)
    logits[:, 5] = 90.0  # of the prompt
    choices = sample(logits, [make_row(VOCABULARY, repetition_penalty=penalty), make_row(VOCABULARY)])
    assert "repetition_penalty nearer to 1" in choices[0].error
    assert choices[1].token == 5


def test_a_bias_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"options\.logit_bias: names token 5000"):
        make_row(VOCABULARY, logit_bias={5000: 1.0})
