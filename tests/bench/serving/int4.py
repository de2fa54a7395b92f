"""Four-bit weights in blocks, as ONNX Runtime's MatMulNBits stores them. llama.cpp's Q4_0 rounds the same way, at 32.

A block's scale is its weight of the largest magnitude divided by -8; there is no zero point.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from bench.serving.shape import Floats, Layer, Weights

_ZERO_POINT = 8


def quantise(matrix: Floats, block: int) -> tuple[NDArray[np.uint8], Floats]:
    """[out, in] → packed [out, in / block, block / 2], the lower four bits first, and scales [out, in / block]."""
    blocks, scales = _blocks(matrix, block)
    return blocks[..., 0::2] | blocks[..., 1::2] << np.uint8(4), scales


def rounded(matrix: Floats, block: int) -> Floats:
    """The matrix that the four-bit one stands for."""
    blocks, scales = _blocks(matrix, block)
    return ((blocks.astype(np.float32) - _ZERO_POINT) * scales[..., None]).reshape(matrix.shape)


def rounded_weights(weights: Weights, block: int) -> Weights:
    """Every matrix rounded, the embedding apart: GenAI's builder keeps it in float."""
    layers = [
        Layer(**{field.name: rounded(getattr(layer, field.name), block) for field in dataclasses.fields(Layer)})
        for layer in weights.layers
    ]
    return Weights(weights.embedding, rounded(weights.head, block), layers)


def _blocks(matrix: Floats, block: int) -> tuple[NDArray[np.uint8], Floats]:
    outputs, inputs = matrix.shape
    parts = matrix.reshape(outputs, inputs // block, block)
    largest = np.take_along_axis(parts, np.abs(parts).argmax(-1)[..., None], -1)
    scales = largest / np.float32(-8)
    safe = np.where(scales == 0, np.float32(1), scales)
    numbers = np.clip(np.round(parts / safe) + _ZERO_POINT, 0, 15).astype(np.uint8)
    return numbers, scales[..., 0]
