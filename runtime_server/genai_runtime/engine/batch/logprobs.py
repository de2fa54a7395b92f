"""Log-probabilities of one token under the model's own distribution: before biases, penalties, grammar and sampling."""

import numpy as np
from numpy.typing import NDArray

from genai_runtime.engine.batch.distribution import largest
from genai_runtime.generation import TokenLogprob

MAX_ALTERNATIVES = 20
# Stands for minus infinity, which neither JSON nor a sum can hold.
LEAST = -9999.0


def token_logprob(logits: NDArray[np.float32], token: int, alternatives: int) -> TokenLogprob:
    """`logits`: (vocabulary,), the greatest of them finite. The alternatives come likeliest first, equal ones by id."""
    greatest = logits.max()
    log_sum = float(greatest) + float(np.log(np.exp(logits - greatest).sum()))
    top: list[tuple[int, float]] = []
    count = min(alternatives, MAX_ALTERNATIVES, len(logits))
    if count > 0:
        ids = largest(logits, count)
        ids = ids[np.argsort(-logits[ids], kind="stable")][:count]
        top = [(int(id_), _difference(float(logits[id_]), log_sum)) for id_ in ids]
    return TokenLogprob(token, _difference(float(logits[token]), log_sum), top)


def _difference(logit: float, log_sum: float) -> float:
    return max(min(logit - log_sum, 0.0), LEAST)
