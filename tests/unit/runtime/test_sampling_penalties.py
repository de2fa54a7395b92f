"""Biases and penalties equal a plain reading of their definitions, however the tokens came."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_runtime.engine.batch.penalties import Penalties
from genai_runtime.generation import Sampling
from support.sampling import make_row, one, random_logits

VOCABULARY = 40
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=30)
SAMPLINGS = st.builds(
    Sampling,
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.1, 2.0]),
    presence_penalty=st.sampled_from([-2.0, 0.0, 0.5]),
    frequency_penalty=st.sampled_from([-1.0, 0.0, 0.25]),
    logit_bias=st.dictionaries(st.integers(0, VOCABULARY - 1), st.floats(-100, 100, width=32), max_size=5),
)


def plainly(logits: Sequence[float], sampling: Sampling, prompt: list[int], output: list[int]) -> list[float]:
    """One token at a time, as OpenAI's and Hugging Face's documents say."""
    result = []
    for token, logit in enumerate(logits):
        value = logit + sampling.logit_bias.get(token, 0.0)
        if token in prompt or token in output:
            value = value / sampling.repetition_penalty if value > 0 else value * sampling.repetition_penalty
        if token in output:
            value -= sampling.presence_penalty + sampling.frequency_penalty * output.count(token)
        result.append(value)
    return result


@given(sampling=SAMPLINGS, prompt=TOKENS, output=TOKENS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=200)
def test_penalties_are_those_of_a_plain_reading(
    sampling: Sampling, prompt: list[int], output: list[int], seed: int
) -> None:
    logits = random_logits(seed, 1, VOCABULARY)[0]
    penalties = Penalties(sampling, prompt, VOCABULARY)
    for token in output:
        penalties.accept(token)
    changed = logits.copy()
    penalties.apply(changed)
    np.testing.assert_allclose(changed, plainly(logits.tolist(), sampling, prompt, output), rtol=1e-5, atol=1e-4)
    if not penalties.active:
        assert np.array_equal(changed, logits)


def test_counts_grow_beyond_the_first_room_for_them() -> None:
    sampling = Sampling(repetition_penalty=2.0, frequency_penalty=1.0)
    penalties = Penalties(sampling, range(100, 900), 2000)
    for token in (*range(1500), *range(0, 1500, 3)):
        penalties.accept(token)
    logits = np.ones(2000, np.float32)
    penalties.apply(logits)
    wanted = [0.5 - (1 + (token % 3 == 0)) if token < 1500 else 1.0 for token in range(2000)]
    np.testing.assert_allclose(logits, wanted)


def test_greedy_and_sampled_rows_feel_them() -> None:
    logits = np.zeros(VOCABULARY, np.float32)
    logits[[3, 4]] = 5.0, 4.0
    for options in ({}, {"temperature": 1.0, "top_k": 1, "seed": 1}):
        row = make_row(VOCABULARY, prompt=[8], presence_penalty=2.0, **options)
        assert one(logits, row).token == 3
        row.accept(3)
        assert one(logits, row).token == 4
        biased = make_row(VOCABULARY, prompt=[8], logit_bias={30: 9.0}, **options)
        assert one(logits, biased).token == 30
        repeated = make_row(VOCABULARY, prompt=[3], repetition_penalty=1.5, **options)
        assert one(logits, repeated).token == 4
