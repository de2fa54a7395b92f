"""`GenAIModelSpec`: what users write, with bounds, defaults and the rules between fields.

Every rule between fields stands here twice, side by side: as CEL, so that the API server refuses with a message, and
as a validator, because objects stored before a rule existed must be reported, not crashed on. No behaviour. The larger
parts have modules of their own, `engine_spec.py` and `server_spec.py`.
"""

from typing import Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictInt, model_validator

from genai_operator.api.adapter_spec import Adapter
from genai_operator.api.affinity_spec import Affinity
from genai_operator.api.autoscaling_spec import Autoscaling
from genai_operator.api.base import ApiModel, cel
from genai_operator.api.build_spec import (
    INT4_EXPLANATION,
    INT4_RULE,
    PRECISION_EXPLANATION,
    PRECISION_RULE,
    build_problem,
)
from genai_operator.api.engine_spec import Engine
from genai_operator.api.flight_recorder_spec import FlightRecorder
from genai_operator.api.model_source import ModelSource
from genai_operator.api.options_spec import RuntimeOptionsSpec
from genai_operator.api.pod_fields import Labels, LocalObjectReference, ObjectName, Resources, Toleration
from genai_operator.api.provider_spec import (
    OPTIONS_EXPLANATION,
    OPTIONS_RULE,
    Precision,
    Provider,
    ProviderOptions,
)
from genai_operator.api.quantity import parse_quantity
from genai_operator.api.rollout_spec import ProviderLimits, Rollout
from genai_operator.api.server_spec import Generation, Server, Warmup
from genai_operator.api.session_spec import Session, Threads
from genai_operator.api.tuning_spec import SWEEP_RULES, Tuning, sweep_problem
from genai_operator.api.workload_spec import Environment, PodAnnotations, PodLabels, PodTemplate, TopologySpreads

_MEMORY_EXPLANATION = "engine.kvCache must be less than resources.limits.memory: the model is in there as well"
_BATCH_EXPLANATION = "engine.mode batch needs provider cpu"
_ADAPTERS_EXPLANATION = "adapters need the engine batch: provider cpu, and engine.mode auto or batch"
_INTER_OP_EXPLANATION = "threads.interOp needs session.executionMode parallel"
_SAME_ADAPTER_EXPLANATION = "adapters must differ in name"
_CPU_REQUEST_EXPLANATION = "autoscaling.cpuUtilizationPercent needs resources.requests.cpu, which it is a share of"


class GenAIModelSpec(ApiModel):
    """What the endpoint shall be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!has(self.engine.kvCache) || !('memory' in self.resources.limits) || "
            "quantity(string(self.engine.kvCache)).compareTo(quantity(string(self.resources.limits['memory']))) < 0",
            _MEMORY_EXPLANATION,
            ("self.engine.mode != 'batch' || self.provider == 'cpu'", _BATCH_EXPLANATION),
            (OPTIONS_RULE, OPTIONS_EXPLANATION),
            (PRECISION_RULE, PRECISION_EXPLANATION),
            (INT4_RULE, INT4_EXPLANATION),
            *SWEEP_RULES,
            (
                "!has(self.adapters) || size(self.adapters) == 0 || "
                "(self.engine.mode != 'single' && self.provider == 'cpu')",
                _ADAPTERS_EXPLANATION,
            ),
            (
                "!has(self.threads.interOp) || (has(self.session.executionMode) && "
                "self.session.executionMode == 'parallel')",
                _INTER_OP_EXPLANATION,
            ),
            (
                "!has(self.autoscaling) || !has(self.autoscaling.cpuUtilizationPercent) || "
                "'cpu' in self.resources.requests || 'cpu' in self.resources.limits",
                _CPU_REQUEST_EXPLANATION,
            ),
        )
    )

    model: ModelSource
    provider: Provider = Field(
        default="cpu", description="What the model runs on: an execution provider of ONNX Runtime GenAI."
    )
    provider_fallback: Literal["Forbid", "Allow"] = Field(
        default="Forbid",
        description="What happens where the provider is missing. Forbid: the pods fail, and say so. Allow: the CPU "
        "serves, and the model is Degraded.",
    )
    provider_options: ProviderOptions | None = Field(
        default=None, description="Options of the provider, by its name. Absent: its own defaults."
    )
    precision: Precision | None = Field(
        default=None,
        description="What most of the model's weights are. A model whose graph says otherwise is refused. Absent: "
        "whatever it is; status.effective.precision says what. With model.build: what is built.",
    )
    provider_limits: ProviderLimits = ProviderLimits()
    threads: Threads = Threads()
    session: Session = Session()
    engine: Engine = Engine()
    adapters: tuple[Adapter, ...] = Field(
        default=(),
        max_length=32,
        description="LoRA adapters that a request may name. Loaded and unloaded on live pods, without a roll-out.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    generation: Generation = Generation()
    warmup: Warmup = Warmup()
    server: Server = Server()
    runtime_options: RuntimeOptionsSpec = RuntimeOptionsSpec()
    flight_recorder: FlightRecorder | None = Field(
        default=None,
        description="Opens a profiling window on a pod whose users wait longer than this. Editing it restarts no pod.",
    )
    rollout: Rollout = Rollout()
    tuning: Tuning | None = Field(
        default=None,
        description="Has the settings found that serve a load best; status.recommended has them. Absent: none.",
    )
    replicas: int = Field(default=1, ge=0, le=1000, description="Pods. Also set by kubectl scale and autoscalers.")
    autoscaling: Autoscaling | None = Field(
        default=None, description="Sets replicas by the load; leave replicas out of what you apply then."
    )
    suspend: StrictBool = Field(
        default=False, description="Run no pods, whatever replicas says, and keep everything else."
    )
    resources: Resources = Resources()
    node_selector: Labels = Field(default_factory=dict, max_length=64, description="Labels a node must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=64, description="Taints the pods accept.")
    affinity: Affinity | None = Field(default=None, description="Nodes and neighbours that pods seek and avoid.")
    topology_spread_constraints: TopologySpreads | None = Field(
        default=None, description="How pods are spread. Absent: over nodes, where that is possible. Empty: not at all."
    )
    priority_class_name: ObjectName | None = Field(default=None, description="Which pods give way to which.")
    runtime_class_name: ObjectName | None = Field(default=None, description="What runs the pods' containers.")
    scheduler_name: ObjectName | None = Field(default=None, description="Who finds nodes for the pods.")
    service_account_name: ObjectName | None = Field(
        default=None,
        description="An account of this namespace, for example one with a cloud's identity. Its token is not mounted. "
        "Absent: one of the model's own, without rights.",
    )
    pod_labels: PodLabels = Field(
        default_factory=dict, description="Added to the pods and their Deployment, where the installation permits them."
    )
    pod_annotations: PodAnnotations = Field(
        default_factory=dict, description="Added to the pods, where the installation permits them."
    )
    env: Environment = Field(
        default=(), description="Variables of the model's container, where the installation permits them."
    )
    pod_template: PodTemplate | None = Field(
        default=None,
        description="Laid over the pods' template, to which it may add, where the installation permits it at all.",
    )
    min_ready_seconds: StrictInt | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="How long a new pod must be ready before a roll-out goes on. Absent: 0.",
    )
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

    @model_validator(mode="after")
    def _engine_fits(self) -> Self:
        limit = self.resources.limits.get("memory")
        wanted = self.engine.kv_cache_bytes()
        if limit is not None and wanted and wanted >= parse_quantity(limit):
            raise ValueError(_MEMORY_EXPLANATION)
        if self.provider_options is not None and not self.provider_options.fit(self.provider):
            raise ValueError(OPTIONS_EXPLANATION)
        if problem := build_problem(self.model.build, self.provider, self.precision):
            raise ValueError(problem)
        if problem := sweep_problem(self.tuning, self.model.build, self.provider, self.precision):
            raise ValueError(problem)
        if self.engine.mode == "batch" and self.provider != "cpu":
            raise ValueError(_BATCH_EXPLANATION)
        if self.adapters and (self.engine.mode == "single" or self.provider != "cpu"):
            raise ValueError(_ADAPTERS_EXPLANATION)
        if len({adapter.name for adapter in self.adapters}) < len(self.adapters):
            raise ValueError(_SAME_ADAPTER_EXPLANATION)
        if self.threads.inter_op is not None and self.session.execution_mode != "parallel":
            raise ValueError(_INTER_OP_EXPLANATION)
        return self

    @model_validator(mode="after")
    def _cpu_use_has_a_measure(self) -> Self:
        by_cpu = self.autoscaling is not None and self.autoscaling.cpu_utilization_percent is not None
        if by_cpu and "cpu" not in {*self.resources.requests, *self.resources.limits}:
            raise ValueError(_CPU_REQUEST_EXPLANATION)
        return self

    @property
    def wanted_replicas(self) -> int:
        """Pods that shall run."""
        return 0 if self.suspend else self.replicas
