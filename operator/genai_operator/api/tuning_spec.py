"""`spec.tuning`: a load to find the best settings for, what is tried, and whether the result is used. Types and bounds.

What is tried where the spec leaves it open is decided in the pod (`genai-runtime tune`), which knows its CPUs and its
engine. Precision and the block size of four-bit weights are not among it: a model's files have one of each.
"""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel

MAX_VALUES = 8
MAX_CLIENTS = 256
MAX_LOAD_TOKENS = 1_048_576
MAX_REQUEST_LENGTH = 64

Spinning = Literal["enabled", "disabled"]


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
        "engine.prefillChunk, where the spec leaves them open. engine.maxBatchSize is only recommended. The spec is "
        "never changed; kubectl genai tune --apply does that.",
    )
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:+-]*$")] | None = Field(
        default=None,
        max_length=MAX_REQUEST_LENGTH,
        description="Any word. Another one has it measured anew; without, it is measured once for a model, its "
        "resources and its engine.",
    )
