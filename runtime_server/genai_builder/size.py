"""How large a built model will be, told before it is built by its tensors. An estimate from above. Pure."""

from genai_builder.request import BuildRequest
from genai_builder.source_folder import Source

_MIB = 1 << 20
_BESIDE = 64 * _MIB
"""Graph, tokenizer, tables of rotations."""
_BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0}
_INT8_BLOCK = 32


def built_size(source: Source, request: BuildRequest) -> int:
    """In bytes. What is looked up and not multiplied stays in floats; a head that is the embedding is stored again."""
    float_bytes = _BYTES.get(request.precision, 4.0 if request.provider == "cpu" else 2.0)
    weight_bytes = _weight_bytes(request, float_bytes)
    total = 0.0
    tied = not any(each.name.endswith("lm_head.weight") for each in source.tensors)
    for each in source.tensors:
        looked_up = len(each.shape) < 2 or "embed" in each.name
        total += each.elements * (float_bytes if looked_up else weight_bytes)
        if tied and "embed_tokens" in each.name:
            total += each.elements * weight_bytes
    return int(total) + _BESIDE


def _weight_bytes(request: BuildRequest, float_bytes: float) -> float:
    """Of one weight, with its share of a block's scale."""
    if request.precision == "int4":
        return 0.5 + float_bytes / request.block_size
    return 1.0 + float_bytes / _INT8_BLOCK if request.precision == "int8" else float_bytes
