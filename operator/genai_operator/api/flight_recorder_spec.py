"""`spec.flightRecorder`: the objectives whose miss opens a profiling window by itself. Who watches them is the pod."""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.duration import MAX_LENGTH, between, duration_rule, explanation, parse_duration

_NO_OBJECTIVE = "flightRecorder must have interTokenP99 or ttftP99, or both"

TokenGap = Annotated[
    str,
    AfterValidator(between("1ms", "60s")),
    Field(max_length=MAX_LENGTH, json_schema_extra=cel(duration_rule("1ms", "60s"), explanation("1ms", "60s"))),
]
FirstToken = Annotated[
    str,
    AfterValidator(between("1ms", "10m")),
    Field(max_length=MAX_LENGTH, json_schema_extra=cel(duration_rule("1ms", "10m"), explanation("1ms", "10m"))),
]
MissedFor = Annotated[
    str,
    AfterValidator(between("1s", "1h")),
    Field(max_length=MAX_LENGTH, json_schema_extra=cel(duration_rule("1s", "1h"), explanation("1s", "1h"))),
]


class FlightRecorder(ApiModel):
    """Opens a profiling window on a pod whose users wait longer than this, and says which operator grew."""

    model_config = ConfigDict(json_schema_extra=cel("has(self.interTokenP99) || has(self.ttftP99)", _NO_OBJECTIVE))

    inter_token_p99: TokenGap | None = Field(
        default=None, description="99 of 100 tokens come within this time of the one before."
    )
    ttft_p99: FirstToken | None = Field(
        default=None, description="99 of 100 requests have their first token within this time."
    )
    for_: MissedFor = Field(
        default="30s", alias="for", description="How long an objective must be missed without a break."
    )
    max_per_hour: StrictInt = Field(default=1, ge=1, le=60, description="Windows that a pod opens by itself.")

    @model_validator(mode="after")
    def _some_objective(self) -> Self:
        if self.inter_token_p99 is None and self.ttft_p99 is None:
            raise ValueError(_NO_OBJECTIVE)
        return self

    def inter_token_seconds(self) -> float:
        """The objective in seconds; 0 when there is none."""
        return _seconds(self.inter_token_p99)

    def first_token_seconds(self) -> float:
        """The objective in seconds; 0 when there is none."""
        return _seconds(self.ttft_p99)

    def for_seconds(self) -> float:
        """How long an objective must be missed."""
        return _seconds(self.for_)


def _seconds(text: str | None) -> float:
    return 0.0 if text is None else float(parse_duration(text))
