"""Variants of a built model that tuning may try: other precisions, block sizes and accuracy levels. Pure.

What is tried follows from `spec.tuning.sweep`; what it leaves out is as the spec has it. A variant has a name of ours,
made of values with types of their own, so that it may be a part of a path and of a command.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from pydantic import TypeAdapter

from genai_operator.api.build_spec import AccuracyLevel, BlockSize, Build
from genai_operator.api.provider_spec import Precision
from genai_operator.api.spec import GenAIModelSpec

# Where neither spec says.
_BLOCK_SIZE: BlockSize = 32
_ACCURACY_LEVEL = 4
_precision: TypeAdapter[Precision] = TypeAdapter(Precision)
_block_size: TypeAdapter[BlockSize] = TypeAdapter(BlockSize)
_accuracy_level: TypeAdapter[AccuracyLevel] = TypeAdapter(AccuracyLevel)


@dataclass(frozen=True, slots=True)
class Variant:
    """Block size and accuracy level are int4's, and None for every other precision."""

    precision: Precision
    int4_block_size: BlockSize | None = None
    int4_accuracy_level: int | None = None

    @property
    def name(self) -> str:
        """For example int4-32-4, or fp32."""
        parts = (self.precision, self.int4_block_size, self.int4_accuracy_level)
        return "-".join(str(part) for part in parts if part is not None)

    def build(self, base: Build) -> Build:
        """How it is built where the model's own is built like `base`; of the same source, not looked up anew."""
        own = {"int4_block_size": self.int4_block_size, "int4_accuracy_level": self.int4_accuracy_level}
        return base.model_copy(update={**own, "request": None})


def variant_named(name: str) -> Variant:
    """The variant of a name that `Variant.name` gave. Raises `ValueError` for anything else."""
    precision, *numbers = name.split("-")
    if not numbers and precision != "int4":
        return Variant(_precision.validate_python(precision))
    block, level = map(int, numbers)
    found = Variant("int4", _block_size.validate_python(block), _accuracy_level.validate_python(level))
    if found.name != name:
        raise ValueError(f"{name!r} is not the name of a variant")
    return found


def present_variant(spec: GenAIModelSpec) -> Variant | None:
    """What the spec has built; None where it has nothing built."""
    build = spec.model.build
    if build is None or spec.precision is None:
        return None
    if spec.precision != "int4":
        return Variant(spec.precision)
    level = _ACCURACY_LEVEL if build.int4_accuracy_level is None else build.int4_accuracy_level
    return Variant("int4", build.int4_block_size or _BLOCK_SIZE, level)


def swept_variants(spec: GenAIModelSpec) -> tuple[Variant, ...]:
    """What is to be built and measured, the present one first; empty where there are no others to try."""
    sweep, present = spec.tuning.sweep if spec.tuning else None, present_variant(spec)
    if sweep is None or present is None or not sweep.variants:
        return ()
    blocks = sweep.int4_block_size or (present.int4_block_size or _BLOCK_SIZE,)
    own_level = _ACCURACY_LEVEL if present.int4_accuracy_level is None else present.int4_accuracy_level
    levels = sweep.int4_accuracy_level or (own_level,)
    found: list[Variant] = [present]
    for precision in sweep.precision or (present.precision,):
        found += _of_int4(blocks, levels) if precision == "int4" else [Variant(precision)]
    every = tuple(dict.fromkeys(found))
    return every if len(every) > 1 else ()


def _of_int4(blocks: Iterable[BlockSize], levels: Iterable[int]) -> list[Variant]:
    return [Variant("int4", block, level) for block, level in product(blocks, levels)]
