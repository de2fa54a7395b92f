"""`spec.engine`: what runs the model, and how much it holds at once. Rules with the rest of the spec are `spec.py`'s.

An option that the engine lacks is refused where the engine is named; where it is chosen, `status.effective` says which.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, WithJsonSchema, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.quantity import MAX_LENGTH, Quantity, parse_quantity

_SMALLEST, _LARGEST = "1Mi", "16Ti"
_BYTES_EXPLANATION = f"must be whole bytes from {_SMALLEST} to {_LARGEST}"

_SINGLE_EXPLANATION = "engine.mode single has no prefillChunk, kvCache, prefixCaching and speculation"
_OFF_EXPLANATION = "engine.prefixCaching.maxBytes is of no use where enabled is false"
_SHARE_EXPLANATION = "engine.prefixCaching.maxBytes must not exceed engine.kvCache, which it is a part of"


def _whole_bytes(value: str) -> str:
    size = parse_quantity(value)
    if size != size.to_integral_value() or not parse_quantity(_SMALLEST) <= size <= parse_quantity(_LARGEST):
        raise ValueError(_BYTES_EXPLANATION)
    return value


Memory = Annotated[
    Quantity,
    AfterValidator(_whole_bytes),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": MAX_LENGTH,
            **cel(
                "isQuantity(string(self)) && quantity(string(self)).isInteger() && "
                f"quantity(string(self)).compareTo(quantity('{_SMALLEST}')) >= 0 && "
                f"quantity(string(self)).compareTo(quantity('{_LARGEST}')) <= 0",
                _BYTES_EXPLANATION,
            ),
        }
    ),
]


class PrefixCaching(ApiModel):
    """Keys and values of prompts that were read, kept for requests that begin the same."""

    model_config = ConfigDict(json_schema_extra=cel("self.enabled || !has(self.maxBytes)", _OFF_EXPLANATION))

    enabled: StrictBool = Field(default=True, description="Whether anything is kept.")
    max_bytes: Memory | None = Field(
        default=None, description="What it may take of engine.kvCache while no request needs that. Absent: a quarter."
    )

    @model_validator(mode="after")
    def _no_size_of_nothing(self) -> Self:
        if not self.enabled and self.max_bytes is not None:
            raise ValueError(_OFF_EXPLANATION)
        return self


class Engine(ApiModel):
    """What runs the model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.mode != 'single' || "
            "!(has(self.prefillChunk) || has(self.kvCache) || has(self.prefixCaching) || has(self.speculation))",
            _SINGLE_EXPLANATION,
            (
                "!has(self.kvCache) || !has(self.prefixCaching) || !has(self.prefixCaching.maxBytes) || "
                "quantity(string(self.prefixCaching.maxBytes)).compareTo(quantity(string(self.kvCache))) <= 0",
                _SHARE_EXPLANATION,
            ),
        )
    )

    mode: Literal["auto", "batch", "single"] = Field(
        default="auto",
        description="batch: all requests advance together, on ONNX Runtime itself. single: one ONNX Runtime GenAI "
        "generator a request. auto: batch where the model's graph and the provider allow it; status.effective.engine "
        "says which, and engineReason why.",
    )
    max_sequence_length: int = Field(
        default=0,
        ge=0,
        le=1_048_576,
        description="Prompt and answer together, in tokens. 0: the model's context length.",
    )
    max_batch_size: int = Field(
        default=16, ge=1, le=1024, description="Requests generated at the same time; others wait in the queue."
    )
    prefill_chunk: int | None = Field(
        default=None,
        ge=16,
        le=8192,
        description="Tokens of a joining prompt that are read in one run; the running streams wait that long. "
        "Absent: 64, fewer where a pod needs longer than 33 ms for them.",
    )
    kv_cache: Memory | None = Field(
        default=None,
        description="Memory for the keys and values of running requests: a request that could not finish within it "
        "waits. Absent: what the memory limit allows.",
    )
    prefix_caching: PrefixCaching | None = Field(
        default=None, description="Keeping what prompts have in common. Absent: on, with a quarter of the KV cache."
    )
    speculation: Literal["disabled", "ngram"] | None = Field(
        default=None,
        description="ngram: guess the next tokens of a pod's only request from its own text and check them in one run; "
        "where guesses do not pay, they stop by themselves. Absent: disabled.",
    )

    @model_validator(mode="after")
    def _options_of_its_engine(self) -> Self:
        batch = (self.prefill_chunk, self.kv_cache, self.prefix_caching, self.speculation)
        if self.mode == "single" and any(value is not None for value in batch):
            raise ValueError(_SINGLE_EXPLANATION)
        if self.kv_cache is not None and (self.prefix_cache_bytes() or 0) > self.kv_cache_bytes():
            raise ValueError(_SHARE_EXPLANATION)
        return self

    def kv_cache_bytes(self) -> int:
        """`kv_cache` in bytes; 0 when absent."""
        return 0 if self.kv_cache is None else int(parse_quantity(self.kv_cache))

    def prefix_cache_bytes(self) -> int | None:
        """Bytes for prefixes, 0 when there shall be none; None when it is left open."""
        caching = self.prefix_caching
        if caching is None or (caching.enabled and caching.max_bytes is None):
            return None
        return int(parse_quantity(caching.max_bytes)) if caching.max_bytes is not None else 0
