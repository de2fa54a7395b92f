"""Requests and logits for tests of sampling, and what a distribution ought to be, computed in the plainest way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai_runtime.engine.batch.sampling import Choice, RowSampler, sample
from genai_runtime.generation import GenerationRequest, Sampling

EOS = 2
Logits = NDArray[np.float32]


def make_row(vocabulary: int, prompt: Sequence[int] = (5,), **changes: Any) -> RowSampler:
    """A row whose request has these fields; those of `Sampling` among them go there."""
    options = {name: changes.pop(name) for name in list(changes) if name in Sampling.__dataclass_fields__}
    grammar = changes.pop("grammar", None)
    request = GenerationRequest("r", list(prompt), 100, Sampling(**options), **changes)
    return RowSampler(request, vocabulary, [EOS], grammar)


def random_logits(seed: int, rows: int, vocabulary: int, spread: float = 3.0) -> Logits:
    """Of shape (rows, vocabulary)."""
    return np.random.default_rng(seed).normal(0, spread, (rows, vocabulary)).astype(np.float32)


def one(logits: Logits, row: RowSampler) -> Choice:
    """The next token of one row alone; `logits` is of shape (vocabulary,)."""
    (choice,) = sample(logits[None], [row])
    return choice


def expected_probabilities(logits: Logits, sampling: Sampling) -> NDArray[np.float64]:
    """By sorting, in double precision; of equal logits all stay or all go."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    scaled = logits.astype(np.float64)[order] / sampling.temperature
    weights = np.exp(scaled - scaled[0])
    if 0 < sampling.top_k < len(weights):
        weights[weights < weights[sampling.top_k - 1]] = 0
    above = np.array([weights[weights > weight].sum() for weight in weights])
    nucleus = weights.sum() * sampling.top_p
    kept = (weights >= sampling.min_p * weights[0]) & ((above < nucleus) | (sampling.top_p >= 1)) & (weights > 0)
    weights = np.where(kept, weights, 0)
    probabilities = np.zeros(len(weights))
    probabilities[order] = weights / weights.sum()
    return probabilities
