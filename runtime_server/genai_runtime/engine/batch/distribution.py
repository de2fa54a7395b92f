"""One draw from one row's logits: temperature, then top-k, then top-p over what top-k left, then min-p. Exact.

No requests, no penalties, no random state here. All arithmetic is on the one row, in shapes that only that row decides,
so what is drawn never depends on the batch. The cuts compare values alone: of equal logits all stay or all go.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genai_runtime.generation import Sampling

Floats = NDArray[np.float32]
Ids = NDArray[np.intp]

# Rows longer than this are handled by blocks: block j holds columns j, j + size, j + 2 size…, so that a reduction
# over the blocks runs over contiguous memory (several times faster than over short rows).
_BLOCKS = 64
_LONG = 1024


def draw(logits: Floats, sampling: Sampling, uniform: Callable[[], float]) -> int:
    """An id drawn from `logits`, of shape (vocabulary,). Its greatest value must be finite; -inf is never drawn.

    `uniform` gives the next random number of [0, 1); how many are used depends on the row alone.
    """
    ids: Ids | None = None
    if 0 < sampling.top_k < len(logits):
        ids = largest(logits, sampling.top_k)
        logits = logits[ids]
    weights = logits - logits.max()
    if sampling.temperature != 1:
        weights /= np.float32(sampling.temperature)
    np.exp(weights, out=weights)
    nucleus = sampling.top_p * float(weights.sum()) if sampling.top_p < 1 else None
    if sampling.min_p > 0:  # the greatest weight is 1
        kept = (weights >= sampling.min_p).nonzero()[0]
        weights, ids = weights[kept], _pick(ids, kept)
    # top-p without sorting: a token belongs to the nucleus if what is above it has less mass than top_p. A drawn token
    # that does not belong proves the same of all that are not above it, so the next draw is among those above.
    while True:
        index = _index(weights, uniform())
        if nucleus is not None:
            above = (weights > weights[index]).nonzero()[0]
            heavier = weights[above]
            if len(above) and float(heavier.sum()) >= nucleus:
                weights, ids = heavier, _pick(ids, above)
                continue
        return index if ids is None else int(ids[index])


def largest(values: Floats, count: int) -> Ids:
    """The ids of the `count` largest values, ascending, and of all that equal the least of them. 0 < count <= size."""
    size = len(values) // _BLOCKS
    if count * _BLOCKS * 8 > len(values):
        return np.flatnonzero(values >= np.partition(values, len(values) - count)[len(values) - count])
    # `count` blocks have a maximum of at least `floor`, so the least value wanted is not below it.
    cut = size * _BLOCKS
    maxima = values[:cut].reshape(_BLOCKS, size).max(0)
    floor = np.partition(maxima, size - count)[size - count]
    blocks = np.flatnonzero(maxima >= floor)
    ids = (np.arange(0, cut, size)[:, None] + blocks).ravel()
    if cut < len(values):
        ids = np.concatenate([ids, np.arange(cut, len(values))])
    found = values[ids]
    least = np.partition(found, len(found) - count)[len(found) - count]
    return np.sort(ids[found >= least])


def _pick(ids: Ids | None, kept: Ids) -> Ids:
    return kept if ids is None else ids[kept]


def _index(weights: Floats, uniform: float) -> int:
    """An index by its weight; the sum of the weights is above 0. An index of weight 0 is never drawn."""
    if len(weights) <= _LONG:
        return _search(weights, uniform)[0]
    size = -(-len(weights) // _BLOCKS)
    padded = weights
    if len(weights) % _BLOCKS:
        padded = np.zeros(size * _BLOCKS, np.float32)
        padded[: len(weights)] = weights
    table = padded.reshape(_BLOCKS, size)
    block, within = _search(table.sum(0), uniform)
    return _search(table[:, block], within)[0] * size + block


def _search(weights: Floats, uniform: float) -> tuple[int, float]:
    """The index that `uniform` falls on, and where within it, of [0, 1)."""
    cumulated = weights.cumsum(dtype=np.float64)
    total = float(cumulated[-1])
    target = uniform * total
    if target >= total:  # rounded up
        target = math.nextafter(total, 0)
    index = int(cumulated.searchsorted(target, "right"))
    before = float(cumulated[index - 1]) if index else 0.0
    return index, (target - before) / (float(cumulated[index]) - before)
