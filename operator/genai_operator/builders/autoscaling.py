"""What scales a model: a HorizontalPodAutoscaler or KEDA's ScaledObject, over the model's own scale subresource.

Neither writes the Deployment: they set `spec.replicas` of the GenAIModel, and the operator follows that. A suspended
model has none, or it would be counted as a model without load.
"""

from typing import Any

from genai_operator.api.autoscaling_spec import Autoscaling, Keda
from genai_operator.api.genaimodel import INVALID_SPEC, GenAIModel
from genai_operator.api.names import autoscaler_name
from genai_operator.builders.metadata import child
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import API_VERSION, KIND
from genai_operator.errors import InvalidModel

# Of the pods' metrics page (docs/observability.md): by our own names for adapters, which tell pods apart, and by those
# that carry the model's name for a query over all of them.
_OF_A_POD = {"running": "genai_requests_running", "queued": "genai_requests_waiting"}
_OF_A_MODEL = {"running": "vllm:num_requests_running", "queued": "vllm:num_requests_waiting"}


def autoscaler(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any] | None:
    """The object that scales the model; None where nothing shall.

    Raises:
        InvalidModel: KEDA has no Prometheus to ask.
    """
    wanted = model.spec.autoscaling
    if wanted is None or model.spec.suspend:
        return None
    return _horizontal(model, wanted) if wanted.type == "HPA" else _scaled_object(model, wanted, settings)


def _horizontal(model: GenAIModel, wanted: Autoscaling) -> dict[str, Any]:
    metrics = [_pods_metric(_OF_A_POD[name], target) for name, target in _request_targets(wanted)]
    if wanted.cpu_utilization_percent is not None:
        target = {"type": "Utilization", "averageUtilization": wanted.cpu_utilization_percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    spec = {
        "scaleTargetRef": _target(model),
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": metrics,
        **_behavior(wanted),
    }
    name = autoscaler_name(model.metadata.name)
    return child(model, "autoscaling/v2", "HorizontalPodAutoscaler", name, spec=spec)


def _pods_metric(metric: str, target: int) -> dict[str, Any]:
    average = {"type": "AverageValue", "averageValue": str(target)}
    return {"type": "Pods", "pods": {"metric": {"name": metric}, "target": average}}


def _scaled_object(model: GenAIModel, wanted: Autoscaling, settings: BuilderSettings) -> dict[str, Any]:
    keda = wanted.keda or Keda()
    address = keda.server_address or settings.prometheus_address
    if not address:
        raise InvalidModel(
            INVALID_SPEC,
            "spec.autoscaling.keda.serverAddress: there is no Prometheus to ask; name it, or have the chart's value "
            "autoscaling.prometheusAddress set",
        )
    spec = {
        "scaleTargetRef": _target(model),
        "minReplicaCount": wanted.min_replicas,
        "maxReplicaCount": wanted.max_replicas,
        "triggers": [_trigger(address, *each, keda) for each in _queries(model, wanted, keda)],
    }
    if keda.polling_interval_seconds is not None:
        spec["pollingInterval"] = keda.polling_interval_seconds
    if keda.cooldown_seconds is not None:
        spec["cooldownPeriod"] = keda.cooldown_seconds
    behavior = _behavior(wanted)
    if behavior:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": behavior}
    return child(model, "keda.sh/v1alpha1", "ScaledObject", autoscaler_name(model.metadata.name), spec=spec)


def _queries(model: GenAIModel, wanted: Autoscaling, keda: Keda) -> list[tuple[str, int]]:
    """What Prometheus is asked, each with how much of it one pod takes."""
    labels = f'namespace="{model.metadata.namespace}",model_name="{model.metadata.name}"'
    found = [(f"sum({_OF_A_MODEL[name]}{{{labels}}})", target) for name, target in _request_targets(wanted)]
    if keda.query is not None and keda.threshold is not None:
        found.append((keda.query, keda.threshold))
    return found


def _trigger(address: str, query: str, threshold: int, keda: Keda) -> dict[str, Any]:
    # Metrics that are not there are an error, after which replicas stay; never no load.
    metadata = {"serverAddress": address, "query": query, "threshold": str(threshold), "ignoreNullValues": "false"}
    trigger: dict[str, Any] = {"type": "prometheus", "metadata": metadata}
    if keda.authentication is not None:
        trigger["authenticationRef"] = {"name": keda.authentication}
    return trigger


def _request_targets(wanted: Autoscaling) -> list[tuple[str, int]]:
    targets = {"running": wanted.running_requests_per_pod, "queued": wanted.queued_requests_per_pod}
    return [(name, target) for name, target in targets.items() if target is not None]


def _behavior(wanted: Autoscaling) -> dict[str, Any]:
    window = wanted.scale_down_window_seconds
    return {} if window is None else {"behavior": {"scaleDown": {"stabilizationWindowSeconds": window}}}


def _target(model: GenAIModel) -> dict[str, str]:
    return {"apiVersion": API_VERSION, "kind": KIND, "name": model.metadata.name}
