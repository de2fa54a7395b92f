"""`spec.autoscaling`: who sets `spec.replicas`, by what. The objects made of it are `builders.autoscaling`'s.

Rules with the rest of the spec are `spec.py`'s.
"""

from typing import Literal, Self

from pydantic import ConfigDict, Field, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.pod_fields import ObjectName

_ORDER = "autoscaling.minReplicas must not exceed autoscaling.maxReplicas"
_METRIC = (
    "autoscaling needs something to scale by: cpuUtilizationPercent, runningRequestsPerPod, queuedRequestsPerPod or "
    "keda.query"
)
_TO_ZERO = "autoscaling.minReplicas 0 needs keda.query: a model without pods counts no requests"
_KEDA_METRIC = "autoscaling.cpuUtilizationPercent needs type HPA"
_KEDA_ONLY = "autoscaling.keda needs type KEDA"
_QUERY = "autoscaling.keda.query and autoscaling.keda.threshold need each other"


class Keda(ApiModel):
    """What a ScaledObject has and an HPA has not."""

    model_config = ConfigDict(json_schema_extra=cel("has(self.query) == has(self.threshold)", _QUERY))

    server_address: str | None = Field(
        default=None,
        min_length=8,
        max_length=512,
        pattern=r"^https?://[A-Za-z0-9.:_/\[\]-]+$",
        description="The Prometheus that scrapes the pods. Absent: the operator's own choice.",
    )
    authentication: ObjectName | None = Field(
        default=None, description="A TriggerAuthentication of this namespace, where that Prometheus asks for one."
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A PromQL query of one number, for example the requests that a gateway has for this model: what "
        "wakes a model that has no pods.",
    )
    threshold: StrictInt | None = Field(
        default=None, ge=1, le=1_000_000, description="How much of what keda.query counts one pod takes."
    )
    polling_interval_seconds: StrictInt | None = Field(
        default=None, ge=1, le=3600, description="How often it is asked. Absent: KEDA's choice, 30."
    )
    cooldown_seconds: StrictInt | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="How long nobody must have asked before the last pod goes. Absent: KEDA's choice, 300.",
    )

    @model_validator(mode="after")
    def _query_and_threshold(self) -> Self:
        if (self.query is None) != (self.threshold is None):
            raise ValueError(_QUERY)
        return self


class Autoscaling(ApiModel):
    """Pods follow the load: an autoscaler sets spec.replicas, and the operator follows that as ever."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.minReplicas <= self.maxReplicas",
            _ORDER,
            (
                "has(self.cpuUtilizationPercent) || has(self.runningRequestsPerPod) || "
                "has(self.queuedRequestsPerPod) || (has(self.keda) && has(self.keda.query))",
                _METRIC,
            ),
            ("self.minReplicas > 0 || (has(self.keda) && has(self.keda.query))", _TO_ZERO),
            ("self.type != 'KEDA' || !has(self.cpuUtilizationPercent)", _KEDA_METRIC),
            ("self.type == 'KEDA' || !has(self.keda)", _KEDA_ONLY),
        )
    )

    type: Literal["HPA", "KEDA"] = Field(
        default="HPA",
        description="HPA: a HorizontalPodAutoscaler, part of every cluster. KEDA: a ScaledObject, which also scales to "
        "zero and asks Prometheus itself; KEDA must be installed.",
    )
    min_replicas: StrictInt = Field(default=1, ge=0, le=1000, description="Pods at least. 0 needs keda.query.")
    max_replicas: StrictInt = Field(ge=1, le=1000, description="Pods at most.")
    cpu_utilization_percent: StrictInt | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Mean CPU use of the pods, in percent of resources.requests.cpu. Needs a metrics server.",
    )
    running_requests_per_pod: StrictInt | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Requests that a pod generates at the same time, on average; less than engine.maxBatchSize, which "
        "is where they begin to queue. Type HPA reads genai_requests_running through a custom-metrics adapter.",
    )
    queued_requests_per_pod: StrictInt | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Requests that wait in a pod's queue, on average. Type HPA reads genai_requests_waiting through a "
        "custom-metrics adapter.",
    )
    scale_down_window_seconds: StrictInt | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="A pod goes only when none of the counts of this time needed it. Absent: Kubernetes' choice, 300.",
    )
    keda: Keda | None = Field(default=None, description="Of type KEDA alone.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        by_query = self.keda is not None and self.keda.query is not None
        by_cpu = self.cpu_utilization_percent is not None
        by_requests = self.running_requests_per_pod is not None or self.queued_requests_per_pod is not None
        for broken, said in (
            (self.min_replicas > self.max_replicas, _ORDER),
            (not (by_cpu or by_requests or by_query), _METRIC),
            (self.min_replicas == 0 and not by_query, _TO_ZERO),
            (self.type == "KEDA" and by_cpu, _KEDA_METRIC),
            (self.type != "KEDA" and self.keda is not None, _KEDA_ONLY),
        ):
            if broken:
                raise ValueError(said)
        return self
