"""The Deployment of a model and its disruption budget; the pod is `pod.py`'s."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import deployment_name, disruption_budget_name, selector_labels
from genai_operator.builders.metadata import child
from genai_operator.builders.pod import pod_template
from genai_operator.builders.settings import BuilderSettings

REVISION_HISTORY = 2


def deployment(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    """Replaces pods one at a time, each only when its successor is Ready."""
    name = model.metadata.name
    spec = {
        "replicas": model.spec.wanted_replicas,
        "revisionHistoryLimit": REVISION_HISTORY,
        "selector": {"matchLabels": selector_labels(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod_template(model, settings),
    }
    return child(model, "apps/v1", "Deployment", deployment_name(name), spec=spec)


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
