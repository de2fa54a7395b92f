"""`spec.podTemplate` laid over the pod template that we made: it adds, and changes nothing that is there. Pure.

Lists whose elements have a name are merged by it, as in a strategic merge; other lists are added as a whole.
"""

from collections.abc import Mapping
from typing import Any

from genai_operator.api.genaimodel import INVALID_SPEC
from genai_operator.api.workload_spec import OPERATORS_ENV, RESERVED_EXPLANATION, reserved
from genai_operator.errors import InvalidModel

Object = dict[str, Any]

# What an element of these lists is known by; the same list has the same key wherever it stands in a pod.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "readinessGates": "conditionType",
    "resourceClaims": "name",
    "hostAliases": "ip",
}
_MERGED_ELEMENTS = ("containers", "initContainers")
_OURS = "is set by the operator and cannot be changed"
_TOP = ("metadata", "spec")
_METADATA = ("labels", "annotations")
# What the server's process and its isolation rest on, and what the operator watches: not even to be added to.
_CLOSED_OF_POD = frozenset(
    (
        "activeDeadlineSeconds",
        "ephemeralContainers",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostUsers",
        "restartPolicy",
        "securityContext",
        "serviceAccount",
        "shareProcessNamespace",
    )
)
_CLOSED_OF_OURS = frozenset(
    (
        "args",
        "command",
        "envFrom",
        "lifecycle",
        "livenessProbe",
        "ports",
        "readinessProbe",
        "resizePolicy",
        "resources",
        "restartPolicy",
        "securityContext",
        "startupProbe",
        "stdin",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "tty",
        "workingDir",
    )
)


def overlaid(template: Object, overlay: Mapping[str, Any]) -> Object:
    """The template with what the overlay adds.

    Raises:
        InvalidModel: the overlay would change or remove something, or touches what is closed; the message has its path.
    """
    _check_outline(overlay)
    spec = overlay.get("spec") or {}
    for name in _CLOSED_OF_POD & set(spec):
        raise _refused(f"spec.{name}", "is not to be set")
    ours = {
        (kind, each["name"]) for kind in ("containers", "initContainers") for each in template["spec"].get(kind, ())
    }
    for kind in ("containers", "initContainers"):
        for each in _elements(spec.get(kind, []), f"spec.{kind}"):
            if (kind, each.get("name")) in ours:
                _check_own_container(each, f"spec.{kind}[{each['name']}]")
    merged: Object = _merged(template, overlay, "")
    return merged


def _check_outline(overlay: Mapping[str, Any]) -> None:
    for name in set(overlay) - set(_TOP):
        raise _refused(name, "is no part of a pod template")
    metadata = overlay.get("metadata", {})
    for name, part in (("metadata", metadata), ("spec", overlay.get("spec", {}))):
        if not isinstance(part, Mapping):
            raise _refused(name, "must be an object")
    for name in set(metadata) - set(_METADATA):
        raise _refused(f"metadata.{name}", "is not to be set")
    for kind in _METADATA:
        names = metadata.get(kind, {})
        if not isinstance(names, Mapping):
            raise _refused(f"metadata.{kind}", "must be an object")
        for name in names:
            if reserved(str(name)):
                raise _refused(f"metadata.{kind}.{name}", f"is not to be set: {RESERVED_EXPLANATION}")


def _check_own_container(container: Mapping[str, Any], path: str) -> None:
    for name in _CLOSED_OF_OURS & set(container):
        raise _refused(f"{path}.{name}", "is not to be set; the spec has fields of its own for what may be chosen")
    for variable in _elements(container.get("env", []), f"{path}.env"):
        if str(variable.get("name", "")).startswith(OPERATORS_ENV):
            raise _refused(f"{path}.env[{variable['name']}]", "is the operator's own")


def _elements(value: Any, path: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise _refused(path, "must be a list of objects")
    return value


def _merged(base: Any, added: Any, path: str) -> Any:
    """`base` with what `added` adds to it."""
    if isinstance(base, Mapping) and isinstance(added, Mapping):
        result = dict(base)
        for name, value in added.items():
            inner = f"{path}.{name}".lstrip(".")
            if name not in base:
                result[name] = _added(value, inner)
            elif name in _KEYS and isinstance(base[name], list):
                result[name] = _merged_list(base[name], value, name, inner)
            else:
                result[name] = _merged(base[name], value, inner)
        return result
    if base == added:
        return base
    raise _refused(path, _OURS)


def _merged_list(base: list[Any], added: Any, name: str, path: str) -> list[Any]:
    result, key = list(base), _KEYS[name]
    for element in _elements(added, path):
        if key not in element:
            raise _refused(path, f"has an element without {key}")
        index = next((at for at, each in enumerate(base) if each.get(key) == element[key]), None)
        inner = f"{path}[{element[key]}]"
        if index is None:
            result.append(_added(element, inner))
        elif name in _MERGED_ELEMENTS:
            result[index] = _merged(base[index], element, inner)
        elif element != base[index]:
            raise _refused(inner, _OURS)
    return result


def _added(value: Any, path: str) -> Any:
    """A copy; an empty value would remove what a server puts there."""
    if value is None:
        raise _refused(path, "is null, and an overlay removes nothing")
    if isinstance(value, Mapping):
        return {name: _added(part, f"{path}.{name}") for name, part in value.items()}
    return [_added(each, f"{path}[]") for each in value] if isinstance(value, list) else value


def _refused(path: str, why: str) -> InvalidModel:
    return InvalidModel(INVALID_SPEC, f"spec.podTemplate.{path}: {why}")
