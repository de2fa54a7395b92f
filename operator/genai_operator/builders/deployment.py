"""The Deployment of a model and its disruption budget; the pod is `pod.py`'s."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import deployment_name, disruption_budget_name, selector_labels
from genai_operator.builders.metadata import child
from genai_operator.builders.pod import pod_template
from genai_operator.builders.settings import BuilderSettings

REVISION_HISTORY = 2
PROGRESS_SECONDS = 600


def deployment(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    """Replaces pods one at a time, each only when its successor is Ready, where the spec does not say otherwise."""
    name = model.metadata.name
    spec: dict[str, Any] = {
        "replicas": model.spec.wanted_replicas,
        "revisionHistoryLimit": REVISION_HISTORY,
        "selector": {"matchLabels": selector_labels(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": _limits(model)},
        "template": pod_template(model, settings),
    }
    if model.spec.min_ready_seconds is not None:
        spec["minReadySeconds"] = model.spec.min_ready_seconds
        # It must be more than that; the part for starting stays what Kubernetes takes where nobody says.
        spec["progressDeadlineSeconds"] = model.spec.min_ready_seconds + PROGRESS_SECONDS
    made = child(model, "apps/v1", "Deployment", deployment_name(name), spec=spec)
    # Kueue and the like look for their labels on the Deployment, and on its pods.
    made["metadata"]["labels"] = {**model.spec.pod_labels, **made["metadata"]["labels"]}
    return made


def _limits(model: GenAIModel) -> dict[str, int]:
    """One pod of a model that has any goes on serving, unless there is to be no room for another one beside it."""
    rollout, replicas = model.spec.rollout, model.spec.wanted_replicas
    surge = 1 if rollout.max_surge is None else rollout.max_surge
    missing = rollout.max_unavailable or 0
    return {"maxUnavailable": min(missing, max(0, replicas - 1)) if surge else missing, "maxSurge": surge}


def disruption_budget(model: GenAIModel) -> dict[str, Any] | None:
    """From two pods on: a node's drain takes one at a time, and takes one that is not Ready at any time."""
    if model.spec.wanted_replicas < 2:
        return None
    name = model.metadata.name
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector_labels(name)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return child(model, "policy/v1", "PodDisruptionBudget", disruption_budget_name(name), spec=spec)
