"""Perplexity: each token scored once, with the tokens before it in its window, and the figure itself."""

import math

import numpy as np
import pytest

from genai_builder.quality import Quality, Window, negative_log_likelihood, perplexity, windows


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 12, 13, 100])
@pytest.mark.parametrize("before", [(), (99,)])
def test_each_token_is_scored_once_and_in_order(count: int, before: tuple[int, ...]) -> None:
    tokens = list(range(count))
    found = list(windows(tokens, before, window=8, stride=4))
    scored = [token for each in found for token in each.tokens[each.first :]]
    assert scored == tokens[0 if before else 1 :]
    assert all(each.tokens[: len(before)] == before for each in found)
    assert all(1 <= each.first < len(each.tokens) <= 8 + len(before) for each in found)


def test_from_the_second_window_on_half_a_window_is_before_each_scored_token() -> None:
    _, *later = windows(range(40), (), window=8, stride=4)
    assert later
    assert all(each.first >= 4 for each in later)


def test_the_last_window_ends_with_the_text() -> None:
    found = list(windows(range(13), (), window=8, stride=4))
    assert [(each.tokens[0], each.tokens[-1]) for each in found] == [(0, 7), (4, 11), (8, 12)]
    assert len(list(windows(range(8), (), window=8, stride=4))) == 1
    assert list(windows([], (), window=8, stride=4)) == []
    assert list(windows([5], (), window=8, stride=4)) == []


def test_a_model_that_knows_nothing_has_the_vocabularys_size() -> None:
    window = Window(tuple(range(200)), 1)
    total = negative_log_likelihood(np.zeros((200, 250), dtype=np.float32), window)
    assert perplexity(total, window.scored) == pytest.approx(250)


def test_a_token_is_foretold_by_the_position_before_it() -> None:
    logits = np.zeros((3, 4), dtype=np.float32)
    logits[0, 2], logits[1, 1] = 50, 50  # after position 0 comes 2, then 1
    assert negative_log_likelihood(logits, Window((0, 2, 1), 1)) == pytest.approx(0, abs=1e-6)
    assert negative_log_likelihood(logits, Window((0, 1, 2), 1)) == pytest.approx(100)
    assert negative_log_likelihood(logits, Window((0, 1, 1), 2)) == pytest.approx(0, abs=1e-6)


def test_large_logits_do_not_overflow_and_broken_ones_are_told() -> None:
    logits = np.full((2, 4), 30000, dtype=np.float32)
    assert negative_log_likelihood(logits, Window((0, 1), 1)) == pytest.approx(math.log(4))
    logits[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        negative_log_likelihood(logits, Window((0, 1), 1))
    with pytest.raises(ValueError, match="no token"):
        perplexity(1.0, 0)
    with pytest.raises(ValueError, match="beyond all numbers"):
        perplexity(1e6, 1)


def test_it_is_told_as_the_operator_reads_it() -> None:
    told = Quality(12.3456789, 12.0, 100, "default").told()
    assert told == {"perplexity": 12.3457, "referencePerplexity": 12.0, "tokens": 100, "text": "default"}
