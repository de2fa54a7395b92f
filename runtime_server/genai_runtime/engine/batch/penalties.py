"""What a request adds to its own logits before a token is chosen: biases and penalties. No choosing here.

The order: `logit_bias`, then the repetition penalty, then presence and frequency. Sparse: the cost grows with the
distinct tokens seen, not with the vocabulary.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai_runtime.errors import InvalidRequest
from genai_runtime.generation import Sampling

_GROWTH = 256


class Penalties:
    """One request's biases and counts. Ids of the prompt and of `accept` must lie inside the vocabulary."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary_size: int) -> None:
        """Raises `InvalidRequest` for a biased id outside the vocabulary."""
        self._sampling = sampling
        wrong = next((id_ for id_ in sampling.logit_bias if not 0 <= id_ < vocabulary_size), None)
        if wrong is not None:
            known = f"this model's ids are 0 to {vocabulary_size - 1}"
            raise InvalidRequest("options.logit_bias", f"names token {wrong}; {known}")
        self._biased = np.fromiter(sampling.logit_bias, np.intp)
        self._bias = np.fromiter(sampling.logit_bias.values(), np.float32)
        self._repeats = sampling.repetition_penalty != 1
        self._counts_output = sampling.presence_penalty != 0 or sampling.frequency_penalty != 0
        self._places: dict[int, int] = {}
        self._ids: NDArray[np.intp] = np.empty(_GROWTH, np.intp)
        self._times: NDArray[np.float32] = np.empty(_GROWTH, np.float32)  # in the output
        if self._repeats:
            for token in dict.fromkeys(prompt):
                self._add(token, 0)

    @property
    def possible(self) -> bool:
        """Whether `apply` could ever change anything."""
        return len(self._biased) > 0 or self._repeats or self._counts_output

    @property
    def active(self) -> bool:
        """Whether `apply` would change anything now."""
        return len(self._biased) > 0 or len(self._places) > 0

    def accept(self, token: int) -> None:
        """Count a token of the output."""
        if not self._repeats and not self._counts_output:
            return
        place = self._places.get(token)
        if place is None:
            self._add(token, 1)
        else:
            self._times[place] += 1

    def apply(self, logits: NDArray[np.float32]) -> None:
        """Change `logits`, of shape (vocabulary,), in place."""
        if len(self._biased):
            logits[self._biased] += self._bias
        seen = self._ids[: len(self._places)]
        if not len(seen):
            return
        values = logits[seen]
        if self._repeats:
            penalty = np.float32(self._sampling.repetition_penalty)
            values = np.where(values > 0, values / penalty, values * penalty)
        if self._counts_output:
            times = self._times[: len(seen)]
            values -= np.float32(self._sampling.presence_penalty) * (times > 0)
            values -= np.float32(self._sampling.frequency_penalty) * times
        logits[seen] = values

    def _add(self, token: int, times: int) -> None:
        place = len(self._places)
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.empty_like(self._ids)])
            self._times = np.concatenate([self._times, np.empty_like(self._times)])
        self._places[token] = place
        self._ids[place] = token
        self._times[place] = times
