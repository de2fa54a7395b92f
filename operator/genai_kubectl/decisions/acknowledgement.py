"""Whether the pods of a model have a live option that was just changed, read from the model's status. Pure.

The operator's revision names all options together: after a change that means something it is another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genai_kubectl.decisions.quantities import parse_duration
from genai_kubectl.names import ANNOTATION_DRAIN, OPTION_FIELDS

Object = Mapping[str, Any]
_FINAL = ("Unsupported", "Rejected")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How far a change has come."""

    done: bool = False
    failed: str = ""  # why it never will
    applied: int = 0
    pods: int = 0
    waiting: tuple[str, ...] = ()  # "POD: STATE, why"

    def __str__(self) -> str:
        return f"{self.applied} of {self.pods} pods"


def acknowledgement(model: Object, annotation: str, before: Object) -> Acknowledgement:
    """Of `model`, seen after a change of `annotation`; `before` is the model as it was when it was changed."""
    options = model.get("status", {}).get("runtimeOptions") or {}
    pods = list(options.get("pods") or ())
    applied, total = _counts(options)
    stale = options.get("revision") == _revision(before) and _changes(before, model, annotation)
    condition = _condition(model, "RuntimeOptionsApplied")
    if condition.get("reason") == "Rejected" and annotation in str(condition.get("message", "")):
        return Acknowledgement(failed=str(condition["message"]), applied=applied, pods=total)
    if stale or not options:
        return Acknowledgement(pods=total, waiting=("the operator has not taken the change up",))
    final = [pod for pod in pods if pod.get("state") in _FINAL]
    if final:
        return Acknowledgement(failed=_told(final[0]), applied=applied, pods=total)
    waiting = tuple(_told(pod) for pod in pods if pod.get("state") != "Applied")
    done = applied == total and condition.get("status") == "True"
    return Acknowledgement(done=done, applied=applied, pods=total, waiting=waiting)


def pod_states(model: Object) -> list[dict[str, Any]]:
    """The pods of `status.runtimeOptions`, by name."""
    pods = (model.get("status", {}).get("runtimeOptions") or {}).get("pods") or ()
    return sorted((dict(pod) for pod in pods), key=lambda pod: str(pod["name"]))


def cancelled(model: Object) -> int | None:
    """How many requests the present cancel rule has ended on all pods; None where they do not say."""
    count = (model.get("status", {}).get("runtimeOptions") or {}).get("cancelledRequests")
    return None if count is None else int(count)


def declared(model: Object, annotation: str) -> str | None:
    """What sources under the annotation ask for: `status.requestedRuntimeOptions`, else `spec.runtimeOptions`."""
    field = OPTION_FIELDS[annotation]
    for part, name in (("status", "requestedRuntimeOptions"), ("spec", "runtimeOptions")):
        value = (model.get(part, {}).get(name) or {}).get(field)
        if value is not None:
            return str(value)
    return None


def annotated(model: Object, annotation: str) -> str | None:
    """The annotation's value; None without it."""
    value = (model["metadata"].get("annotations") or {}).get(annotation)
    return None if value is None else str(value)


def _changes(before: Object, after: Object, annotation: str) -> bool:
    """Whether the merged option is another one."""
    return _merged(before, annotation) != _merged(after, annotation)


def _merged(model: Object, annotation: str) -> str | float:
    own = annotated(model, annotation)
    value = own if own is not None else declared(model, annotation) or ""
    if annotation == ANNOTATION_DRAIN:
        try:
            return parse_duration(value or "0")
        except ValueError:
            return value
    return "" if value == "0" else value


def _revision(model: Object) -> str | None:
    return (model.get("status", {}).get("runtimeOptions") or {}).get("revision")


def _counts(options: Object) -> tuple[int, int]:
    applied, _, total = str(options.get("applied") or "0/0").partition("/")
    return int(applied or 0), int(total or 0)


def _condition(model: Object, kind: str) -> Object:
    conditions = model.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _told(pod: Object) -> str:
    message = f", {pod['message']}" if pod.get("message") else ""
    return f"pod {pod.get('name')}: {pod.get('state')}{message}"
