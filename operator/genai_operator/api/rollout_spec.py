"""`spec.rollout` and `spec.providerLimits`: how pods are replaced, and what a new one must be measured to be.

Types and bounds only: what is compared is `status.rollout_gate`'s, who measures `services.rollout_gate`'s.
"""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel

MAX_PROMPTS = 16
MAX_GATE_TOKENS = 512

Prompt = Annotated[str, Field(min_length=1, max_length=4096)]


class Gate(ApiModel):
    """New pods take traffic only when they generate as fast as the old ones."""

    max_regression_percent: StrictInt = Field(
        default=15,
        ge=1,
        le=99,
        description="How many percent slower the tokens of a new pod, or the first one, may come.",
    )
    prompts: tuple[Prompt, ...] = Field(
        min_length=1, max_length=MAX_PROMPTS, description="What old and new pods generate from, one prompt at a time."
    )
    max_tokens: StrictInt = Field(default=64, ge=2, le=MAX_GATE_TOKENS, description="New tokens for each prompt.")


_STUCK_EXPLANATION = "rollout.maxSurge 0 needs rollout.maxUnavailable of 1 or more, or no pod can be replaced"
_GATE_EXPLANATION = "rollout.gate needs rollout.maxSurge of 1 or more: a new pod is measured beside an old one"


class Rollout(ApiModel):
    """How a change of the pods' template takes effect."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!has(self.maxSurge) || self.maxSurge > 0 || (has(self.maxUnavailable) && self.maxUnavailable > 0)",
            _STUCK_EXPLANATION,
            ("!has(self.gate) || !has(self.maxSurge) || self.maxSurge > 0", _GATE_EXPLANATION),
        )
    )

    max_surge: StrictInt | None = Field(
        default=None, ge=0, le=1000, description="Pods that may run above replicas meanwhile. Absent: 1."
    )
    max_unavailable: StrictInt | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Pods that may be missing of replicas meanwhile. Absent: 0. However many are said, one pod keeps "
        "serving, except where maxSurge is 0: then old pods go first, and a single one leaves a gap.",
    )
    gate: Gate | None = Field(
        default=None,
        description="Measures each new pod against an old one before it takes traffic; a slower one stops the roll-out "
        "and the old pods keep serving. Absent: a new pod takes traffic when it has loaded the model.",
    )

    @model_validator(mode="after")
    def _room_to_replace(self) -> Self:
        if self.max_surge == 0 and not self.max_unavailable:
            raise ValueError(_STUCK_EXPLANATION)
        if self.max_surge == 0 and self.gate is not None:
            raise ValueError(_GATE_EXPLANATION)
        return self


class ProviderLimits(ApiModel):
    """What a provider that was asked for must do of the work."""

    min_share_percent: StrictInt = Field(
        default=95,
        ge=0,
        le=100,
        description="With a provider other than cpu: the model is Degraded (ProviderDegraded) when less of the "
        "operators' time than this was spent on it in the warm-up. 0: never.",
    )
