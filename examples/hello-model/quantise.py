"""Four-bit weights during training, rounded just as ONNX Runtime's MatMulNBits will store them.

Blocks of 32 weights along the input, symmetric: the scale is the weight of the largest magnitude divided by -8.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

BLOCK = 32


class Int4(nn.Module):
    """Rounds a weight to four bits in the forward pass and lets the gradient through unchanged."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        blocks = weight.detach().reshape(weight.shape[0], -1, BLOCK)
        largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
        scale = torch.where(largest == 0, torch.ones_like(largest), largest / -8)
        rounded = ((blocks / scale).round().clamp(-8, 7) * scale).reshape(weight.shape)
        return weight + (rounded - weight).detach()


def fake_int4(model: nn.Module) -> None:
    """Make every linear layer of the model compute with four-bit weights from now on."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", Int4())


def bake_int4(model: nn.Module) -> None:
    """Put the rounded weights in place of the trained ones, so that the model can be saved."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
