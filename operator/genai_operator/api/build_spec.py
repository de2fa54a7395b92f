"""`spec.model.build`: that the model is built of a Hugging Face folder before it is served, and how. Types and bounds.

The rules that tie it to `spec.model`, `spec.provider` and `spec.precision` are here as CEL and as a check; they are
hung up in `spec.py` and `model_source.py`. Building is the builder's, a program of its own.
"""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from genai_operator.api.base import ApiModel
from genai_operator.api.pod_fields import ObjectName, Resources
from genai_operator.api.provider_spec import Precision, Provider

MAX_REQUEST_LENGTH = 64
MAX_EVALUATION_TOKENS = 1_048_576

BlockSize = Literal[16, 32, 64, 128, 256]
AccuracyLevel = Annotated[StrictInt, Field(ge=0, le=4)]

# What ONNX Runtime GenAI's model builder 0.18 makes.
BUILDABLE: dict[Provider, tuple[Precision, ...]] = {
    "cpu": ("fp32", "int8", "int4"),
    "cuda": ("fp32", "fp16", "bf16", "int8", "int4"),
    "trt-rtx": ("fp16", "bf16"),
    "webgpu": ("int8", "int4"),
    "dml": ("fp16", "int4"),
}

PLACE_EXPLANATION = (
    "model.build needs model.cache, where the built model is kept, and a source: hf, s3, gs, https, oci or pvc"
)
# CEL, with `self` spec.model.
PLACE_RULE = (
    "!has(self.build) || (has(self.cache) && !(self.uri.startsWith('builtin:') || self.uri.startsWith('configmap:')))"
)
PRECISION_EXPLANATION = "model.build needs precision, one that the builder makes for the provider: " + "; ".join(
    f"{', '.join(made)} for {provider}" for provider, made in BUILDABLE.items()
)
INT4_EXPLANATION = "model.build.int4BlockSize and int4AccuracyLevel need precision int4"
# CEL, with `self` the spec.
_PAIRS = ", ".join(f"'{provider}/{each}'" for provider, made in BUILDABLE.items() for each in made)
PRECISION_RULE = (
    f"!has(self.model.build) || (has(self.precision) && (self.provider + '/' + self.precision) in [{_PAIRS}])"
)
INT4_RULE = (
    "!has(self.model.build) || !(has(self.model.build.int4BlockSize) || has(self.model.build.int4AccuracyLevel)) || "
    "(has(self.precision) && self.precision == 'int4')"
)


class Evaluation(ApiModel):
    """The text that the built model's quality is measured on."""

    config_map_name: ObjectName = Field(description="A ConfigMap of this namespace.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        description="The key in it that has the text."
    )
    max_tokens: StrictInt | None = Field(
        default=None,
        ge=2,
        le=MAX_EVALUATION_TOKENS,
        description="Tokens of the text that are used, from its beginning. Absent: the builder's own choice.",
    )


class Build(ApiModel):
    """Has a Job build the model with ONNX Runtime GenAI's builder, for `provider` and `precision`, once."""

    int4_block_size: BlockSize | None = Field(
        default=None,
        description="Weights that share a scale. Smaller: closer to the source, and larger. Absent: 32.",
        json_schema_extra={"minimum": 16, "maximum": 256},
    )
    int4_accuracy_level: AccuracyLevel | None = Field(
        default=None,
        description="Least precision of what is multiplied with the weights: 0 as the provider likes, 1 fp32, 2 fp16, "
        "3 bf16, 4 int8. Absent: 4.",
    )
    evaluation: Evaluation | None = Field(
        default=None,
        description="The text that the quality in status.build is measured on. Absent: one of the builder's image.",
    )
    resources: Resources | None = Field(
        default=None, description="Of the building container. Absent: the model's CPU and memory."
    )
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:+-]*$")] | None = Field(
        default=None,
        max_length=MAX_REQUEST_LENGTH,
        description="Any word. Another one has a Job look again: after a failure, or for a branch that has moved on.",
    )


def build_problem(build: Build | None, provider: Provider, precision: Precision | None) -> str:
    """Which of the rules between them is broken, in the API server's words; empty where none is."""
    if build is None:
        return ""
    if precision not in BUILDABLE.get(provider, ()):
        return PRECISION_EXPLANATION
    of_int4 = build.int4_block_size is not None or build.int4_accuracy_level is not None
    return INT4_EXPLANATION if of_int4 and precision != "int4" else ""
