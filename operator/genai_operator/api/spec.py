"""`GenAIModelSpec`: what users write, with bounds, defaults and the rules between fields.

Every rule between fields stands here twice, side by side: as CEL, so that the API server refuses with a message, and
as a validator, because objects stored before a rule existed must be reported, not crashed on. No behaviour.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictInt, WithJsonSchema, model_validator

from genai_operator.api import model_uri
from genai_operator.api.base import ApiModel, cel
from genai_operator.api.options_spec import RuntimeOptionsSpec
from genai_operator.api.pod_fields import LABEL_VALUE, QUALIFIED_NAME, LocalObjectReference, Resources, Toleration


def _known_uri(uri: str) -> str:
    model_uri.parse_model_uri(uri)
    return uri


ModelUri = Annotated[
    str,
    AfterValidator(_known_uri),
    Field(
        max_length=model_uri.MAX_LENGTH,
        description="builtin://NAME: a model inside the runtime image. pvc://CLAIM/PATH: a folder of a "
        "PersistentVolumeClaim in this namespace, mounted read-only.",
        json_schema_extra=cel(
            "self.matches('{}')".format(model_uri.PATTERN.replace("\\", "\\\\")), model_uri.EXPLANATION
        ),
    ),
]

MAX_THREADS = 1024

IntraOp = Annotated[
    Literal["auto"] | Annotated[StrictInt, Field(ge=1, le=MAX_THREADS)],
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 8,
            **cel(
                f"type(self) == string ? self == 'auto' : (self >= 1 && self <= {MAX_THREADS})",
                f"must be auto or a number from 1 to {MAX_THREADS}",
            ),
        }
    ),
]


class ModelSource(ApiModel):
    """Where the model comes from."""

    uri: ModelUri


class Threads(ApiModel):
    """Threads of ONNX Runtime."""

    intra_op: IntraOp = Field(
        default="auto",
        description="Threads of one operator. auto: the pod's CPU limit, rounded up; never the node's cores.",
    )
    spinning: StrictBool = Field(
        default=True, description="Threads wait busily for work: faster, and uses the CPU limit while generating."
    )


class Session(ApiModel):
    """Options of ONNX Runtime's session. What is absent is left to ONNX Runtime GenAI."""

    graph_optimization_level: Literal["disabled", "basic", "extended", "all"] | None = Field(
        default=None, description="How far the graph is rewritten when it is loaded."
    )
    memory_arena: StrictBool | None = Field(default=None, description="Keep freed CPU memory in an arena.")
    memory_pattern: StrictBool | None = Field(default=None, description="Plan memory once for inputs of one shape.")


class Engine(ApiModel):
    """What runs the model."""

    mode: Literal["auto", "single"] = Field(
        default="auto",
        description="single: one ONNX Runtime GenAI generator a request. auto: chosen for the model and provider; "
        "status.effective.engine says which.",
    )
    max_sequence_length: int = Field(
        default=0,
        ge=0,
        le=1_048_576,
        description="Prompt and answer together, in tokens. 0: the model's context length.",
    )


class Generation(ApiModel):
    """Defaults of a request's options, and the limit no request can exceed. What is absent is the model's own."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.maxTokens <= self.maxTokensLimit", "generation.maxTokens must not exceed generation.maxTokensLimit"
        )
    )

    max_tokens: int = Field(default=256, ge=1, le=1_048_576, description="New tokens when a request does not say.")
    max_tokens_limit: int = Field(
        default=4096, ge=1, le=1_048_576, description="New tokens at most, whatever a request says."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy.")
    top_k: int | None = Field(default=None, ge=0, le=1_048_576, description="0 is off.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="1 is off.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=2, description="1 is off.")

    @model_validator(mode="after")
    def _default_within_limit(self) -> Self:
        if self.max_tokens > self.max_tokens_limit:
            raise ValueError("generation.maxTokens must not exceed generation.maxTokensLimit")
        return self


class Warmup(ApiModel):
    """What a pod generates before it is Ready."""

    prompts: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] | None = Field(
        default=None, max_length=16, description="Absent: one short prompt of the runtime's own. Empty: no warm-up."
    )
    max_tokens: int = Field(default=16, ge=1, le=1024, description="New tokens for each prompt.")


class Server(ApiModel):
    """Admission, deadlines and drain of one pod."""

    max_concurrent_requests: int = Field(default=4, ge=1, le=1024, description="Requests generated at the same time.")
    max_queue_length: int = Field(default=64, ge=0, le=65_536, description="Requests that wait; more are refused.")
    max_queue_seconds: int = Field(default=30, ge=1, le=3600, description="How long a request waits at most.")
    max_request_seconds: int = Field(default=600, ge=1, le=86_400, description="How long a request runs at most.")
    drain_seconds: int = Field(
        default=30, ge=0, le=3600, description="How long a pod that is going away finishes its streams."
    )


class GenAIModelSpec(ApiModel):
    """What the endpoint shall be."""

    model: ModelSource
    provider: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="What the model runs on. A provider that is missing on the node is a failure, never a fall-back.",
    )
    threads: Threads = Threads()
    session: Session = Session()
    engine: Engine = Engine()
    generation: Generation = Generation()
    warmup: Warmup = Warmup()
    server: Server = Server()
    runtime_options: RuntimeOptionsSpec = RuntimeOptionsSpec()
    replicas: int = Field(default=1, ge=0, le=1000, description="Pods. Also set by kubectl scale and autoscalers.")
    suspend: StrictBool = Field(
        default=False, description="Run no pods, whatever replicas says, and keep everything else."
    )
    resources: Resources = Resources()
    node_selector: dict[
        Annotated[str, Field(max_length=317, pattern=QUALIFIED_NAME)],
        Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)],
    ] = Field(default_factory=dict, max_length=64, description="Labels a node must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=64, description="Taints the pods accept.")
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
        description="The runtime image. Absent: the operator's own choice.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="Absent: the operator's own choice."
    )
    image_pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(), max_length=16, description="Added to the operator's own."
    )

    @property
    def wanted_replicas(self) -> int:
        """Pods that shall run."""
        return 0 if self.suspend else self.replicas
