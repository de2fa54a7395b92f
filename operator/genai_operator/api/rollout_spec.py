"""`spec.rollout` and `spec.providerLimits`: what a new pod must be measured to be before it counts as good.

Types and bounds only: what is compared is `status.rollout_gate`'s, who measures `services.rollout_gate`'s.
"""

from typing import Annotated

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel

MAX_PROMPTS = 16
MAX_GATE_TOKENS = 512

Prompt = Annotated[str, Field(min_length=1, max_length=4096)]


class Gate(ApiModel):
    """New pods take traffic only when they generate as fast as the old ones."""

    max_regression_percent: StrictInt = Field(
        default=15, ge=1, le=99, description="How many percent fewer tokens a second a new pod may generate."
    )
    prompts: tuple[Prompt, ...] = Field(
        min_length=1, max_length=MAX_PROMPTS, description="What old and new pods generate from, one prompt at a time."
    )
    max_tokens: StrictInt = Field(default=64, ge=2, le=MAX_GATE_TOKENS, description="New tokens for each prompt.")


class Rollout(ApiModel):
    """How a change of the pods' template takes effect."""

    gate: Gate | None = Field(
        default=None,
        description="Measures each new pod against an old one before it takes traffic; a slower one stops the roll-out "
        "and the old pods keep serving. Absent: a new pod takes traffic when it has loaded the model.",
    )


class ProviderLimits(ApiModel):
    """What a provider that was asked for must do of the work."""

    min_share_percent: StrictInt = Field(
        default=95,
        ge=0,
        le=100,
        description="With provider cuda: the model is Degraded (ProviderDegraded) when less of the operators' time "
        "than this was spent on the GPU in the warm-up. 0: never.",
    )
