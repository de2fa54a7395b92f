"""Guesses come from the same tokens before, and stop where they do not help."""

from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.engine.batch.speculation import FEWEST, MOST, NGRAM, NgramDrafts


def test_what_followed_the_last_time_is_guessed() -> None:
    drafts = NgramDrafts([9, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3])
    assert drafts.propose(8) == [4, 5, 6, 7]
    assert drafts.propose(2) == [4, 5]
    drafts.extend(99)
    assert drafts.propose(8) == []


def test_what_goes_round_is_guessed_to_go_on() -> None:
    assert NgramDrafts([5] * 8).propose(8) == [5, 5, 5, 5]
    assert NgramDrafts([5, 6, 7] * 3).propose(8) == [5, 6, 7, 5]
    assert NgramDrafts([5] * 8).propose(1) == []  # one token more is what a run makes anyway


def test_right_guesses_become_longer_and_wrong_ones_pause() -> None:
    drafts = NgramDrafts([*range(20), *range(20), 0, 1, 2])
    assert len(drafts.propose(99)) == 4
    drafts.judge(4, 4)
    assert len(drafts.propose(99)) == MOST
    drafts.judge(8, 0)
    assert drafts.propose(99) == []
    for token in range(3, 11):
        drafts.extend(token)
    assert len(drafts.propose(99)) == FEWEST


def test_guesses_that_are_always_wrong_cost_few_runs() -> None:
    """In the time of a thousand tokens, each of which could be guessed at."""
    drafts, lost = NgramDrafts([5] * 8), 0.0
    for _ in range(1000):
        if guess := drafts.propose(8):
            drafts.judge(len(guess), 0)
            lost += 0.4 * len(guess)
        drafts.extend(5)
    assert 0 < lost < 10


def test_half_right_guesses_are_worth_it_and_go_on() -> None:
    drafts, tried = NgramDrafts([5] * 8), 0
    for _ in range(1000):
        if guess := drafts.propose(8):
            drafts.judge(len(guess), len(guess) // 2)
            tried += 1
        drafts.extend(5)
    assert tried == 1000


def test_a_try_that_is_right_brings_guesses_back() -> None:
    drafts = NgramDrafts([5] * 8)
    for _ in range(300):
        if guess := drafts.propose(8):
            drafts.judge(len(guess), 0)
        drafts.extend(5)
    tried = 0
    for _ in range(700):
        if guess := drafts.propose(8):
            drafts.judge(len(guess), len(guess))
            tried += 1
        drafts.extend(5)
    assert tried > 100


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 10))
def test_a_guess_begins_with_what_followed_the_same_tokens_the_last_time(tokens: list[int], most: int) -> None:
    guess = NgramDrafts(tokens).propose(most)
    assert len(guess) <= most
    places = [start for start in range(NGRAM, len(tokens)) if tokens[start - NGRAM : start] == tokens[-NGRAM:]]
    assert bool(guess) == (bool(places) and most >= FEWEST)
    if guess:
        known = tokens[places[-1] :]
        assert guess[: len(known)] == known[: len(guess)]
