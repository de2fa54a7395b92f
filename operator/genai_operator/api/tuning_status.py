"""`status.recommended`: what a tuning Job found. Bounded; which values it takes is `status.tuning`'s."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel
from genai_operator.api.tuning_spec import MAX_REQUEST_LENGTH, MAX_VALUES, Spinning, TuningLoad

Rate = Annotated[float, Field(ge=0)]


class TunedSettings(ApiModel):
    """What to set. What is absent is best as it is."""

    intra_op_threads: StrictInt | None = Field(default=None, ge=1, le=1024, description="threads.intraOp")
    spinning: Spinning | None = Field(default=None, description="threads.spinning")
    prefill_chunk: StrictInt | None = Field(default=None, ge=16, le=8192, description="engine.prefillChunk")
    max_batch_size: StrictInt | None = Field(default=None, ge=1, le=1024, description="engine.maxBatchSize")


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
    load: TuningLoad | None = None
    not_measured: tuple[Annotated[str, Field(max_length=63)], ...] = Field(
        default=(), max_length=MAX_VALUES, description="Settings for which there was no time."
    )
    started_at: Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})] | None = None
    at: Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})] | None = Field(
        default=None, description="When the figures were read."
    )
