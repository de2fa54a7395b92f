"""Where a model's pods go and how they rank: the fields of a pod that the scheduler and the kubelet's runtime read."""

from typing import Any

from genai_operator.api.base import ApiModel
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import selector_labels

Object = dict[str, Any]


def scheduling(model: GenAIModel) -> Object:
    """Fields of the pod, without those where there is nothing to say."""
    spec = model.spec
    fields: Object = {
        "nodeSelector": dict(sorted(spec.node_selector.items())),
        "tolerations": [_plain(each) for each in spec.tolerations],
        "affinity": _affinity(model),
        "topologySpreadConstraints": _spread(model),
        "priorityClassName": spec.priority_class_name,
        "runtimeClassName": spec.runtime_class_name,
        "schedulerName": spec.scheduler_name,
    }
    return {name: value for name, value in fields.items() if value}


def _spread(model: GenAIModel) -> list[Object]:
    given = model.spec.topology_spread_constraints
    if given is None:
        by_node = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        return [{**by_node, "labelSelector": _own_pods(model)}]
    return [{"labelSelector": _own_pods(model), **_plain(each)} for each in given]


def _affinity(model: GenAIModel) -> Object:
    given = model.spec.affinity
    found: Object = _plain(given) if given is not None else {}
    for kind in ("podAffinity", "podAntiAffinity"):
        neighbours = found.get(kind, {})
        terms = [*neighbours.get("requiredDuringSchedulingIgnoredDuringExecution", [])]
        preferred = neighbours.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        for term in [*terms, *(each["podAffinityTerm"] for each in preferred)]:
            term.setdefault("labelSelector", _own_pods(model))
    return found


def _own_pods(model: GenAIModel) -> Object:
    return {"matchLabels": selector_labels(model.metadata.name)}


def _plain(part: ApiModel) -> Object:
    """As the cluster has it: what says nothing is left out at every depth."""
    found: Object = part.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")
    return found
