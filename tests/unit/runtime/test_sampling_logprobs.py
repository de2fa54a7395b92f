"""Log-probabilities are the model's own: before biases, penalties and sampling, and they sum to one."""

import math

import numpy as np
import pytest

from genai_runtime.engine.batch.logprobs import LEAST, token_logprob
from support.sampling import make_row, one, random_logits


@pytest.mark.parametrize("vocabulary", [7, 1283, 33_000])
def test_they_are_the_logarithms_of_a_softmax(vocabulary: int) -> None:
    logits = random_logits(1, 1, vocabulary)[0]
    wide = logits.astype(np.float64)
    wanted = wide - np.log(np.exp(wide).sum())
    result = token_logprob(logits, 3, 20)
    assert result.id == 3
    assert result.logprob == pytest.approx(wanted[3], abs=2e-5)
    order = np.argsort(-wide)[:20]
    assert [id_ for id_, _ in result.top] == order.tolist()
    np.testing.assert_allclose([value for _, value in result.top], wanted[order], atol=2e-5)


def test_they_sum_to_one() -> None:
    logits = random_logits(2, 1, 500)[0]
    total = sum(math.exp(token_logprob(logits, token, 0).logprob) for token in range(500))
    assert total == pytest.approx(1, abs=1e-4)


def test_as_many_alternatives_as_asked_for_and_equal_ones_by_id() -> None:
    logits = np.array([1, 4, 4, 4, 0], np.float32)
    assert token_logprob(logits, 0, 0).top == []
    assert [id_ for id_, _ in token_logprob(logits, 0, 2).top] == [1, 2]
    assert [id_ for id_, _ in token_logprob(logits, 0, 20).top] == [1, 2, 3, 0, 4]
    assert len(token_logprob(random_logits(1, 1, 500)[0], 0, 1000).top) == 20


def test_what_cannot_be_is_a_number_all_the_same() -> None:
    logits = np.array([0, -np.inf, 0], np.float32)
    result = token_logprob(logits, 1, 3)
    assert result.logprob == LEAST
    assert result.top[2] == (1, LEAST)


def test_a_sure_token_is_not_above_certainty() -> None:
    logits = np.array([90, -90, -90], np.float32)
    assert token_logprob(logits, 0, 1).logprob == 0.0


def test_options_of_the_request_do_not_touch_them() -> None:
    logits = random_logits(5, 1, 300)[0]
    plain = one(logits, make_row(300, logprobs=4)).logprob
    assert plain is not None
    pushed = one(logits, make_row(300, logprobs=4, logit_bias={17: 100.0}, repetition_penalty=1.5)).logprob
    assert pushed is not None
    assert pushed.id == 17
    assert pushed.top == plain.top
    assert pushed.logprob == token_logprob(logits, 17, 0).logprob
    assert one(logits, make_row(300)).logprob is None
