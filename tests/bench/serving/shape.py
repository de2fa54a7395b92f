"""The benchmark model's shape and random weights, from which its every form (ONNX at two block sizes, GGUF) is made.

No file formats here; what the weights compute is `reference.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<tool_call>", "</tool_call>")
"""Special tokens, with the first ids of the vocabulary."""
EOS_ID = SPECIAL.index("<|im_end|>")
PAD_ID = SPECIAL.index("<|pad|>")
LOGIT_SPREAD = 3.0
"""Standard deviation of the logits: the model is as sure of its next token as a small trained one (perplexity near
100), where unit logits would leave the whole vocabulary about equally likely."""


@dataclass(frozen=True)
class Shape:
    """A Qwen2-like decoder without biases."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int
    rope_base: float = 10_000.0
    epsilon: float = 1e-6

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_size


MEDIUM = Shape(hidden=768, layers=12, heads=12, kv_heads=4, feed_forward=3072, vocabulary=8192, context=4096)
"""About 116 million parameters."""


@dataclass(frozen=True)
class Layer:
    """Matrices are [out, in]; norms are ones and are not stored."""

    query: Floats
    key: Floats
    value: Floats
    output: Floats
    gate: Floats
    up: Floats
    down: Floats


@dataclass(frozen=True)
class Weights:
    """Everything that is not a norm. `embedding` and `head` are [vocabulary, hidden]."""

    embedding: Floats
    head: Floats
    layers: list[Layer]


def random_weights(shape: Shape, seed: int = 0) -> Weights:
    """Normal weights that keep every activation near unit size. Special tokens get logit 0, so that in effect none is
    ever generated and every answer has the length that was asked for."""
    random = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int, size: float = 1.0) -> Floats:
        return random.standard_normal((outputs, inputs), np.float32) * np.float32(size / inputs**0.5)

    head = matrix(shape.vocabulary, shape.hidden, LOGIT_SPREAD)
    head[: len(SPECIAL)] = 0.0
    layers = [
        Layer(
            query=matrix(shape.hidden, shape.hidden),
            key=matrix(shape.kv_width, shape.hidden),
            value=matrix(shape.kv_width, shape.hidden),
            output=matrix(shape.hidden, shape.hidden),
            gate=matrix(shape.feed_forward, shape.hidden),
            up=matrix(shape.feed_forward, shape.hidden),
            down=matrix(shape.hidden, shape.feed_forward),
        )
        for _ in range(shape.layers)
    ]
    return Weights(random.standard_normal((shape.vocabulary, shape.hidden), np.float32), head, layers)
