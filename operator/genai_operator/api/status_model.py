"""`status` of a GenAIModel: the typed form that we write, and that the CRD's schema is made from.

Every list and text is bounded. Which values it takes is decided in `genai_operator.status`.
"""

from typing import Annotated, Literal

from pydantic import Field

from genai_operator.api.base import ApiModel
from genai_operator.api.build_status import BuildStatus
from genai_operator.api.cancel_rule import Cancel
from genai_operator.api.options_spec import Drain, EnableProfiling, LogLevel, Switch
from genai_operator.api.tuning_status import Recommended

MAX_MESSAGE_LENGTH = 1024
MAX_LISTED_PODS = 100

ShortText = Annotated[str, Field(max_length=253)]
Message = Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})]


class Condition(ApiModel):
    """As Kubernetes defines it."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    message: Message = ""
    observed_generation: int | None = Field(default=None, ge=0)
    last_transition_time: Time


class Endpoints(ApiModel):
    """Where clients inside the cluster find the model."""

    grpc: ShortText = Field(description="host:port of the gRPC service.")
    http: ShortText | None = Field(default=None, description="URL of the HTTP routes; OpenAI's are under /v1.")


class EffectiveThreads(ApiModel):
    """Threads that were chosen."""

    intra_op: int = Field(ge=0, le=1_000_000)
    inter_op: int | None = Field(default=None, ge=0, le=1_000_000, description="Operators that run at the same time.")
    spinning: Literal["enabled", "disabled"] | None = Field(default=None, description="Whether threads wait busily.")
    affinity: tuple[Annotated[int, Field(ge=0, le=1_000_000)], ...] | None = Field(
        default=None, max_length=1024, description="The CPU of each thread, where they have CPUs of their own."
    )


class Effective(ApiModel):
    """What was chosen for what the spec leaves open, as a pod reported it."""

    provider: ShortText | None = Field(default=None, description="What the model runs on, not what was asked for.")
    precision: ShortText | None = Field(default=None, description="What most of its weights are, by its own graph.")
    engine: ShortText | None = None
    engine_reason: Message | None = Field(default=None, description="Why this engine was taken.")
    threads: EffectiveThreads | None = None
    max_sequence_length: int | None = Field(default=None, ge=0, le=1_000_000_000)
    max_batch_size: int | None = Field(default=None, ge=0, le=1_000_000, description="Requests decoded in one run.")
    prefill_chunk: int | None = Field(default=None, ge=0, le=1_000_000_000)
    kv_tokens: int | None = Field(
        default=None, ge=0, le=1_000_000_000_000, description="Tokens that all running requests together may hold."
    )
    adapters: tuple[ShortText, ...] | None = Field(default=None, max_length=32, description="LoRA adapters, by name.")
    prefix_caching: bool | None = Field(default=None, description="Whether prompts that begin the same share work.")
    image: Annotated[str, Field(max_length=512)] | None = None


class Performance(ApiModel):
    """Measured by the pods' warm-up, the mean over the pods that reported."""

    tokens_per_second: float | None = Field(default=None, ge=0)
    time_to_first_token_ms: float | None = Field(default=None, ge=0)


class ProviderPlacement(ApiModel):
    """How much of the operators' time was spent on one execution provider in a pod's warm-up."""

    provider: ShortText
    share_percent: float = Field(ge=0, le=100)
    operators: tuple[ShortText, ...] = Field(default=(), max_length=8, description="Its costliest kinds of operator.")


class ModelProgress(ApiModel):
    """How far the pod is that has most to fetch still."""

    pod: ShortText
    percent: int = Field(ge=0, le=100)
    fetched_bytes: int = Field(ge=0)
    total_bytes: int = Field(ge=0)
    remaining_seconds: int | None = Field(default=None, ge=0, description="As fast as in the last half minute.")


class ModelState(ApiModel):
    """What became of a model that pods fetch, or compare with its digest, before they serve."""

    state: Literal["Pending", "Fetching", "Verifying", "Fetched", "Verified", "Failed"]
    digest: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="sha256 over the sorted lines SHA256, SIZE, NAME of all its files."
    )
    revision: ShortText | None = Field(default=None, description="What the source's branch or tag was then.")
    size_bytes: int | None = Field(default=None, ge=0)
    files: int | None = Field(default=None, ge=0)
    cached: bool | None = Field(default=None, description="The newest pod found it in the cache and fetched nothing.")
    progress: ModelProgress | None = None


class FlightRecording(ApiModel):
    """The newest window that a pod opened by itself."""

    last_trigger: Message = Field(description="What was missed, and the operator that grew.")
    profile: ShortText = Field(description="Its id on that pod.")
    pod: ShortText
    at: Time


class RequestedRuntimeOptions(ApiModel):
    """Live options asked for by a controller that may write the status only: over the spec, under annotations."""

    enable_profiling: EnableProfiling | None = None
    terminate_session: Switch | None = None
    log_level: LogLevel | None = None
    arena_shrinkage: Switch | None = None
    drain: Drain | None = None
    cancel: Cancel | None = None


class AdapterStatus(ApiModel):
    """A LoRA adapter on one pod. Fetching: it comes; unloading: requests use it still, and no new one may."""

    name: ShortText
    state: Literal["Fetching", "Loading", "Loaded", "Unloading", "Rejected"]
    message: Message = ""


class PodRuntimeOptions(ApiModel):
    """What became of the options on one pod."""

    name: ShortText
    state: Literal["Applied", "Pending", "Unreachable", "Unsupported", "Rejected"]
    message: Message = ""
    at: Time | None = Field(default=None, description="Since when.")
    requests: int | None = Field(default=None, ge=0, description="While it drains: those that still run or wait.")
    cancelled_requests: int | None = Field(
        default=None, ge=0, description="While a cancel rule stands: those that it has ended."
    )
    adapters: tuple[AdapterStatus, ...] | None = Field(
        default=None, max_length=64, description="LoRA adapters that are there, or were refused."
    )


class RuntimeOptionsStatus(ApiModel):
    """What became of the desired live options."""

    revision: Annotated[str, Field(max_length=64)] = Field(description="Names the merged options that are desired.")
    applied: Annotated[str, Field(max_length=16)] = Field(description="Pods that have them / pods, for example 3/3.")
    requests: int | None = Field(default=None, ge=0, description="Of all pods that drain and answer.")
    cancelled_requests: int | None = Field(default=None, ge=0, description="Of all pods that have the rule and answer.")
    pods: tuple[PodRuntimeOptions, ...] = Field(
        default=(),
        max_length=MAX_LISTED_PODS,
        description=f"At most {MAX_LISTED_PODS} pods, those first that do not have the options.",
    )


class GenAIModelStatus(ApiModel):
    """What is."""

    observed_generation: int = Field(default=0, ge=0)
    replicas: int = Field(default=0, ge=0)
    ready_replicas: int = Field(default=0, ge=0)
    selector: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Selects the model's pods."
    )
    endpoints: Endpoints | None = None
    model: ModelState | None = Field(default=None, description="Absent where nothing is fetched or verified.")
    effective: Effective | None = None
    performance: Performance | None = None
    placement: tuple[ProviderPlacement, ...] | None = Field(
        default=None, max_length=8, description="Where the model runs, as the newest pod's warm-up saw it."
    )
    flight_recorder: FlightRecording | None = Field(
        default=None, description="The newest window that a pod opened because an objective was missed."
    )
    recommended: Recommended | None = Field(default=None, description="The settings that spec.tuning had found.")
    build: BuildStatus | None = Field(default=None, description="What spec.model.build made, and how far it is.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    requested_runtime_options: RequestedRuntimeOptions | None = Field(
        default=None, description="Written by other controllers, read by the operator."
    )
    runtime_options: RuntimeOptionsStatus | None = None
