"""The model's forward pass in numpy: what every file made of the weights must compute, written independently of them.

It also makes the text on which perplexities are measured. Nothing here is timed.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.serving.shape import SPECIAL, Floats, Layer, Shape, Weights

Ids = NDArray[np.int64]


@dataclass
class Cache:
    """Keys (already rotated) and values of each layer, [batch, positions, kv heads, head size]."""

    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.keys[0].shape[1] if self.keys else 0

    def extend(self, number: int, key: Floats, value: Floats) -> tuple[Floats, Floats]:
        """A layer's keys and values so far, with the new ones."""
        if number == len(self.keys):
            self.keys.append(key)
            self.values.append(value)
        else:
            self.keys[number] = np.concatenate([self.keys[number], key], 1)
            self.values[number] = np.concatenate([self.values[number], value], 1)
        return self.keys[number], self.values[number]


def forward(shape: Shape, weights: Weights, ids: Ids, cache: Cache | None = None) -> Floats:
    """Logits [batch, positions, vocabulary] of ids [batch, positions], which continue what the cache holds."""
    cache = cache if cache is not None else Cache()
    angles = _angles(shape, cache.length, ids.shape[1])
    x = weights.embedding[ids]
    for number, layer in enumerate(weights.layers):
        x = x + _attention(shape, layer, number, _norm(x, shape.epsilon), angles, cache)
        normal = _norm(x, shape.epsilon)
        gate = normal @ layer.gate.T
        x = x + (gate / (1 + np.exp(-gate)) * (normal @ layer.up.T)) @ layer.down.T
    return np.asarray(_norm(x, shape.epsilon) @ weights.head.T)


def greedy(shape: Shape, weights: Weights, prompt: list[int], count: int) -> list[int]:
    """The `count` most likely tokens after a prompt."""
    cache, ids, found = Cache(), np.array([prompt]), list[int]()
    for _ in range(count):
        found.append(int(forward(shape, weights, ids, cache)[0, -1].argmax()))
        ids = np.array([found[-1:]])
    return found


def sample_text(shape: Shape, weights: Weights, batch: int, length: int, seed: int = 1) -> Ids:
    """Texts [batch, length] drawn from the model's own distribution, each from a random first token."""
    random = np.random.default_rng(seed)
    ids = random.integers(len(SPECIAL), shape.vocabulary, (batch, 1))
    text, cache = [ids], Cache()
    for _ in range(length - 1):
        logits = forward(shape, weights, ids, cache)[:, -1].astype(np.float64)
        # Gumbel's trick: the largest of logits plus this noise is a draw from their softmax.
        ids = (logits + random.gumbel(size=logits.shape)).argmax(-1)[:, None]
        text.append(ids)
    return np.concatenate(text, 1)


def perplexity(logits: Floats, text: Ids) -> float:
    """Of each text's tokens after the first, given those before; logits [batch, length, vocabulary] of the text."""
    before = logits[:, :-1].astype(np.float64)
    before -= before.max(-1, keepdims=True)
    chosen = np.take_along_axis(before, text[:, 1:, None], -1)[..., 0]
    return float(np.exp(np.mean(np.log(np.exp(before).sum(-1)) - chosen)))


def _attention(
    shape: Shape, layer: Layer, number: int, x: Floats, angles: tuple[Floats, Floats], cache: Cache
) -> Floats:
    batch, count, _ = x.shape
    groups = shape.heads // shape.kv_heads
    query = _rotate((x @ layer.query.T).reshape(batch, count, shape.heads, -1), angles)
    key = _rotate((x @ layer.key.T).reshape(batch, count, shape.kv_heads, -1), angles)
    value = (x @ layer.value.T).reshape(batch, count, shape.kv_heads, -1)
    keys, values = cache.extend(number, key, value)
    query = query.reshape(batch, count, shape.kv_heads, groups, -1)
    scores = np.einsum("btkgd,bskd->bkgts", query, keys, optimize=True) / shape.head_size**0.5
    seen = keys.shape[1]
    hidden = np.arange(seen)[None] > np.arange(seen - count, seen)[:, None]
    scores = np.where(hidden, -np.inf, scores)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    mixed = np.einsum("bkgts,bskd->btkgd", scores, values, optimize=True)
    return np.asarray(mixed.reshape(batch, count, -1).astype(np.float32) @ layer.output.T)


def _angles(shape: Shape, first: int, count: int) -> tuple[Floats, Floats]:
    return rotary(shape, np.arange(first, first + count))


def rotary(shape: Shape, positions: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Cosines and sines [positions, head size / 2] of the rotary embedding."""
    frequencies = shape.rope_base ** (-np.arange(0, shape.head_size, 2) / shape.head_size)
    angles = np.outer(positions, frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: Floats, angles: tuple[Floats, Floats]) -> Floats:
    """The first half of a head is rotated against the second, as Qwen2 and Llama do."""
    cosine, sine = (each[None, :, None] for each in angles)
    first, second = np.split(x, 2, -1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def _norm(x: Floats, epsilon: float) -> Floats:
    return np.asarray(x / np.sqrt(np.mean(np.square(x), -1, keepdims=True) + np.float32(epsilon)))
