"""Perplexity over windows of a text: how well a model foretells the text's tokens. Pure.

With the tokens t(0) … t(n-1) of the text, windows begin at 0, STRIDE, 2·STRIDE, … and hold WINDOW tokens at most; the
last one ends with the text. Before each goes what the tokenizer puts before a text (a begin-of-text token, for many
models). Each token is scored once, in the first window that has tokens before it:

    perplexity = exp( -1/m · Σ ln p(t(i) | the tokens of its window before it) )

over the m scored tokens. So from the second window on, each has at least WINDOW - STRIDE tokens before it. The
reference and the built model are given the same windows; that the one was built is all that differs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 512
STRIDE = 256
_ROWS = 64
"""Of logits, whose logarithms are taken at once: a vocabulary may have 256,000 entries."""


@dataclass(frozen=True, slots=True)
class Window:
    """`tokens` are fed; the model's word on each of `tokens[first:]` counts, as `first` >= 1."""

    tokens: tuple[int, ...]
    first: int

    @property
    def scored(self) -> int:
        """How many count."""
        return len(self.tokens) - self.first


@dataclass(frozen=True, slots=True)
class Quality:
    """`text`: "default", or "sha256:" and the first digits of the user's text's."""

    perplexity: float
    reference_perplexity: float
    tokens: int
    text: str

    def told(self) -> dict[str, Any]:
        """As the result line has it."""
        found = asdict(self)
        found["referencePerplexity"] = found.pop("reference_perplexity")
        return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in found.items()}


def windows(
    tokens: Sequence[int], before: Sequence[int], window: int = WINDOW, stride: int = STRIDE
) -> Iterator[Window]:
    """Over all tokens; nothing where no token can be scored."""
    scored = 0 if before else 1
    for begin in range(0, len(tokens), stride):
        part = tokens[begin : begin + window]
        first = max(scored - begin, 0) + len(before)
        if first < len(before) + len(part):
            yield Window((*before, *part), first)
        scored = begin + len(part)
        if begin + window >= len(tokens):
            return


def negative_log_likelihood(logits: NDArray[np.float32], window: Window) -> float:
    """Summed over the scored tokens. `logits`: [tokens of the window, vocabulary]. Raises `ValueError` for NaN."""
    total = 0.0
    for begin in range(window.first, len(window.tokens), _ROWS):
        wanted = np.asarray(window.tokens[begin : begin + _ROWS])
        rows = logits[begin - 1 : begin - 1 + len(wanted)].astype(np.float64)
        highest = rows.max(axis=1)
        spread = highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))
        total += float((spread - rows[np.arange(len(wanted)), wanted]).sum())
    if not math.isfinite(total):
        raise ValueError("the model's logits are not finite")
    return total


def perplexity(total: float, tokens: int) -> float:
    """Of a sum of negative logarithms. Raises `ValueError` for no token, or where it is beyond a float."""
    if tokens < 1:
        raise ValueError("no token was scored")
    try:
        return math.exp(total / tokens)
    except OverflowError:
        raise ValueError("the perplexity is beyond all numbers: the model does not foretell this text") from None
