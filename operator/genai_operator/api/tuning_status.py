"""`status.recommended`: what a tuning Job found. Bounded; which values it takes is `status.tuning`'s."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel
from genai_operator.api.build_spec import AccuracyLevel
from genai_operator.api.provider_spec import Precision
from genai_operator.api.tuning_spec import MAX_REQUEST_LENGTH, MAX_VALUES, MAX_VARIANTS, Block, Spinning, TuningLoad

Rate = Annotated[float, Field(ge=0)]


class TunedSettings(ApiModel):
    """What to set. What is absent is best as it is."""

    intra_op_threads: StrictInt | None = Field(default=None, ge=1, le=1024, description="threads.intraOp")
    spinning: Spinning | None = Field(default=None, description="threads.spinning")
    prefill_chunk: StrictInt | None = Field(default=None, ge=16, le=8192, description="engine.prefillChunk")
    max_batch_size: StrictInt | None = Field(default=None, ge=1, le=1024, description="engine.maxBatchSize")
    precision: Precision | None = Field(default=None, description="precision, of another build of the model")
    int4_block_size: Block | None = Field(default=None, description="model.build.int4BlockSize")
    int4_accuracy_level: AccuracyLevel | None = Field(default=None, description="model.build.int4AccuracyLevel")


class TunedVariant(ApiModel):
    """One build of the model, with the settings of the engine that were found best. Without figures: it could not run.

    The first of them is the one that the spec had built.
    """

    precision: Precision
    int4_block_size: Block | None = None
    int4_accuracy_level: AccuracyLevel | None = None
    size_bytes: int | None = Field(default=None, ge=0, description="Graph and weights.")
    perplexity: Rate | None = Field(default=None, description="As in status.build.quality.")
    increase_percent: Annotated[float, Field(ge=-100)] | None = Field(
        default=None, description="Of perplexity, over the model in fp32."
    )
    tokens_per_second: Rate | None = None
    gain_percent: Annotated[float, Field(ge=-100)] | None = Field(
        default=None, description="Of tokens per second, over the first, side by side."
    )
    time_to_first_token_ms: Rate | None = None
    refused: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="Why it may not be recommended, however fast it is."
    )


class Recommended(ApiModel):
    """What serves the stated load best, and by how much. Figures are medians of runs side by side."""

    state: Literal["Pending", "Running", "Complete", "Failed"] = Field(
        description="Of the newest measurement. While it goes on, the figures are those of the one before."
    )
    message: Annotated[str, Field(max_length=1024)] = ""
    revision: Annotated[str, Field(max_length=64)] = Field(
        description="Names what was measured: model, engine, resources and load."
    )
    request: Annotated[str, Field(max_length=MAX_REQUEST_LENGTH)] | None = Field(
        default=None, description="spec.tuning.request of this measurement."
    )
    settings: TunedSettings | None = None
    applied: bool | None = Field(default=None, description="Whether the pods' template has all of these settings.")
    tokens_per_second: Rate | None = Field(default=None, description="Of all clients together, with these settings.")
    baseline_tokens_per_second: Rate | None = Field(default=None, description="With the spec as it was measured.")
    gain_percent: Annotated[float, Field(ge=-100)] | None = None
    time_to_first_token_ms: Rate | None = None
    baseline_time_to_first_token_ms: Rate | None = None
    variants: tuple[TunedVariant, ...] | None = Field(
        default=None, max_length=MAX_VARIANTS + 1, description="The builds of the model that were tried."
    )
    load: TuningLoad | None = None
    not_measured: tuple[Annotated[str, Field(max_length=63)], ...] = Field(
        default=(), max_length=MAX_VALUES, description="Settings for which there was no time."
    )
    started_at: Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})] | None = None
    at: Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})] | None = Field(
        default=None, description="When the figures were read."
    )
