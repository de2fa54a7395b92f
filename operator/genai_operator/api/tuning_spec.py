"""`spec.tuning`: a load to find the best settings for, what is tried, and whether the result is used. Types and bounds.

What is tried where the spec leaves it open is decided in the pod (`genai-runtime tune`), which knows its CPUs and its
engine. Precision, block size and accuracy level are tried only where the spec names them and has the model built: each
of them is another model, and has to be built first. What follows from these three is `variants.py`'s; the rules that
tie them to `spec.model.build` are here as CEL and as a check, which `spec.py` hangs up.
"""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel
from genai_operator.api.build_spec import BUILDABLE, AccuracyLevel, BlockSize, Build
from genai_operator.api.provider_spec import Precision, Provider

MAX_VALUES = 8
# The kubelet shares 12 KiB of last words among a pod's containers; each variant is built by one of them.
MAX_VARIANTS = 6
DEFAULT_MAX_INCREASE_PERCENT = 5.0
MAX_CLIENTS = 256
MAX_LOAD_TOKENS = 1_048_576
MAX_REQUEST_LENGTH = 64

Spinning = Literal["enabled", "disabled"]
Block = Annotated[BlockSize, Field(json_schema_extra={"minimum": 16, "maximum": 256})]


class TuningLoad(ApiModel):
    """The load that counts: each client asks for one answer after the other."""

    clients: StrictInt = Field(default=4, ge=1, le=MAX_CLIENTS, description="Clients that ask at the same time.")
    prompt_tokens: StrictInt = Field(default=64, ge=1, le=MAX_LOAD_TOKENS, description="Length of each prompt.")
    new_tokens: StrictInt = Field(default=64, ge=1, le=MAX_LOAD_TOKENS, description="Length of each answer.")


class TuningSweep(ApiModel):
    """What is tried besides the present values. Absent: what makes sense on the pod; an empty list: nothing."""

    threads: tuple[Annotated[StrictInt, Field(ge=1, le=1024)], ...] | None = Field(
        default=None, max_length=MAX_VALUES, description="Values of threads.intraOp."
    )
    spinning: tuple[Spinning, ...] | None = Field(default=None, max_length=2, description="Values of threads.spinning.")
    batch: tuple[Annotated[StrictInt, Field(ge=1, le=1024)], ...] | None = Field(
        default=None, max_length=MAX_VALUES, description="Values of engine.maxBatchSize."
    )
    prefill_chunk: tuple[Annotated[StrictInt, Field(ge=16, le=8192)], ...] | None = Field(
        default=None, max_length=MAX_VALUES, description="Values of engine.prefillChunk."
    )
    precision: tuple[Precision, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="Values of spec.precision. Needs model.build. Absent: spec.precision alone.",
    )
    int4_block_size: tuple[Block, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="Values of model.build.int4BlockSize. Absent: what the spec has.",
    )
    int4_accuracy_level: tuple[AccuracyLevel, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="Values of model.build.int4AccuracyLevel. Absent: what the spec has.",
    )
    max_perplexity_increase_percent: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="Over the model's in fp32. A build that lost more is measured and not recommended. Absent: 5.",
    )

    @property
    def variants(self) -> bool:
        """Whether other builds of the model are to be tried."""
        return any(each is not None for each in (self.precision, self.int4_block_size, self.int4_accuracy_level))

    @property
    def max_increase_percent(self) -> float:
        """Of perplexity over fp32, that a recommended build may have."""
        given = self.max_perplexity_increase_percent
        return DEFAULT_MAX_INCREASE_PERCENT if given is None else given


class Tuning(ApiModel):
    """Has a Job find the settings that serve a load best, in a pod shaped as the model's own."""

    load: TuningLoad = TuningLoad()
    sweep: TuningSweep | None = Field(default=None, description="What is tried. Absent: what makes sense on the pod.")
    max_seconds: StrictInt = Field(
        default=300,
        ge=10,
        le=86_400,
        description="About how long it may measure; what there is no time for is left as it is.",
    )
    apply: Literal["Never", "Automatic"] = Field(
        default="Never",
        description="Automatic: pods get what status.recommended says for threads.intraOp, threads.spinning and "
        "engine.prefillChunk, where the spec leaves them open. engine.maxBatchSize is only recommended, and so are "
        "precision and model.build, for they are another model. The spec is never changed; kubectl genai tune --apply "
        "does that.",
    )
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:+-]*$")] | None = Field(
        default=None,
        max_length=MAX_REQUEST_LENGTH,
        description="Any word. Another one has it measured anew; without, it is measured once for a model, its "
        "resources and its engine.",
    )


_NAMES = "tuning.sweep.precision, int4BlockSize and int4AccuracyLevel"
BUILD_EXPLANATION = f"{_NAMES} need model.build, which makes what is tried"
BUILDABLE_EXPLANATION = "tuning.sweep.precision may only have what the builder makes for the provider: " + "; ".join(
    f"{', '.join(made)} for {provider}" for provider, made in BUILDABLE.items()
)
INT4_EXPLANATION = "tuning.sweep.int4BlockSize and int4AccuracyLevel need int4 among the precisions"
COUNT_EXPLANATION = f"{_NAMES} may name {MAX_VARIANTS} builds at most: each is built and measured"
INCREASE_EXPLANATION = f"tuning.sweep.maxPerplexityIncreasePercent needs one of {_NAMES}"

# CEL, with `self` the spec.
_SWEEP = "self.tuning.sweep"
_NONE = "!has(self.tuning) || !has(self.tuning.sweep)"
_OF_INT4 = f"(has({_SWEEP}.int4BlockSize) || has({_SWEEP}.int4AccuracyLevel))"
_ANY = f"(has({_SWEEP}.precision) || {_OF_INT4})"
_INT4 = f"(has({_SWEEP}.precision) ? 'int4' in {_SWEEP}.precision : (has(self.precision) && self.precision == 'int4'))"
_PAIRS = ", ".join(f"'{provider}/{each}'" for provider, made in BUILDABLE.items() for each in made)


def _size(name: str) -> str:
    return f"(has({_SWEEP}.{name}) ? size({_SWEEP}.{name}) : 1)"


SWEEP_RULES = (
    (f"{_NONE} || !{_ANY} || has(self.model.build)", BUILD_EXPLANATION),
    (
        f"{_NONE} || !has({_SWEEP}.precision) || "
        f"{_SWEEP}.precision.all(each, (self.provider + '/' + each) in [{_PAIRS}])",
        BUILDABLE_EXPLANATION,
    ),
    (f"{_NONE} || !{_OF_INT4} || {_INT4}", INT4_EXPLANATION),
    (
        f"{_NONE} || (has({_SWEEP}.precision) ? size({_SWEEP}.precision.filter(each, each != 'int4')) : 0) + "
        f"({_INT4} ? {_size('int4BlockSize')} * {_size('int4AccuracyLevel')} : 0) <= {MAX_VARIANTS}",
        COUNT_EXPLANATION,
    ),
    (f"{_NONE} || !has({_SWEEP}.maxPerplexityIncreasePercent) || {_ANY}", INCREASE_EXPLANATION),
)


def sweep_problem(tuning: Tuning | None, build: Build | None, provider: Provider, precision: Precision | None) -> str:
    """Which of the rules is broken, in the API server's words; empty where none is."""
    sweep = tuning.sweep if tuning else None
    if sweep is None:
        return ""
    if not sweep.variants:
        return "" if sweep.max_perplexity_increase_percent is None else INCREASE_EXPLANATION
    if build is None:
        return BUILD_EXPLANATION
    precisions = sweep.precision or (() if precision is None else (precision,))
    if not set(precisions) <= set(BUILDABLE.get(provider, ())):
        return BUILDABLE_EXPLANATION
    blocks, levels = sweep.int4_block_size, sweep.int4_accuracy_level
    if (blocks or levels) and "int4" not in precisions:
        return INT4_EXPLANATION
    of_int4 = len(blocks or (0,)) * len(levels or (0,)) if "int4" in precisions else 0
    others = sum(each != "int4" for each in precisions)
    return COUNT_EXPLANATION if others + of_int4 > MAX_VARIANTS else ""
