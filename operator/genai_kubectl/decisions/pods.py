"""Which pods of a model can be spoken to, and how. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from genai_kubectl.errors import CommandFailed, NotFound

Object = Mapping[str, Any]


def ready(pod: Object) -> bool:
    """Whether the kubelet says that it takes requests."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def ready_names(pods: Sequence[Object], model: str, wanted: str = "") -> list[str]:
    """The names of Ready pods, or the one that was asked for.

    Raises:
        NotFound: the model has no such pod.
        CommandFailed: none is Ready.
    """
    names = [str(pod["metadata"]["name"]) for pod in pods]
    if wanted and wanted not in names:
        raise NotFound(f"{model!r} has no pod {wanted!r}; it has {', '.join(names) or 'none'}")
    found = [str(pod["metadata"]["name"]) for pod in pods if ready(pod)]
    if wanted:
        found = [wanted]
    if not found:
        raise CommandFailed(f"no pod of {model!r} is Ready; ask: kubectl genai why {model}")
    return found


def speaks_http(model: Object) -> bool:
    """Whether its pods have the HTTP port."""
    protocols = (model["spec"].get("server") or {}).get("protocols") or {}
    return bool(protocols.get("http", True))


def tls_name(model: Object) -> str:
    """The host name that the pods' certificate is for; empty where they speak plain HTTP."""
    if not (model["spec"].get("server") or {}).get("tls"):
        return ""
    return f"{model['metadata']['name']}.{model['metadata']['namespace']}.svc"
