"""A GenAIProfile from a command's options. Pure; the API server says what is wrong with a value."""

from dataclasses import dataclass
from typing import Any

from genai_kubectl.errors import WrongUsage
from genai_kubectl.names import GROUP, PROFILE_KIND, VERSION


@dataclass(frozen=True)
class Window:
    """What is captured; None and empty are the API's defaults."""

    pods: tuple[str, ...] = ()
    pod_count: int | None = None
    pod_percent: int | None = None
    sample_rate: float | None = None
    request_ids: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    runs: str = ""
    max_runs: int | None = None
    max_bytes: str = ""
    max_seconds: int | None = None


@dataclass(frozen=True)
class Target:
    """Where the trace goes besides the pods; at most one of `claim` and `s3_uri`."""

    claim: str = ""
    claim_path: str = ""
    s3_uri: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_secret: str = ""


@dataclass(frozen=True)
class Life:
    """When it starts and how long it is kept."""

    suspend: bool = False
    start_deadline_seconds: int | None = None
    ttl_seconds: int | None = None


def profile_manifest(model: str, name: str, window: Window, target: Target, life: Life) -> dict[str, Any]:
    """Fields that were not given are left out. `name` empty: the API server makes one that begins with the model's.

    Raises:
        WrongUsage: options that exclude or need each other.
    """
    spec: dict[str, Any] = {"model": model}
    spec |= _given(
        {"pods": _pods(window), "requests": _requests(window), "runs": window.runs, "limits": _limits(window)}
    )
    output = _output(target)
    spec |= {"output": output} if output else {}
    if life.suspend:
        spec["suspend"] = True
    spec |= _given({"startDeadlineSeconds": life.start_deadline_seconds, "ttlSecondsAfterFinished": life.ttl_seconds})
    metadata = {"name": name} if name else {"generateName": f"{model[:40].rstrip('-')}-"}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": PROFILE_KIND, "metadata": metadata, "spec": spec}


def _pods(window: Window) -> dict[str, Any]:
    chosen = _given({"names": list(window.pods), "count": window.pod_count, "percent": window.pod_percent})
    if len(chosen) > 1:
        raise WrongUsage("--pod, --pods-count and --pods-percent exclude each other")
    return chosen


def _requests(window: Window) -> dict[str, Any]:
    return _given({"sampleRate": window.sample_rate, "ids": list(window.request_ids), "clients": list(window.clients)})


def _limits(window: Window) -> dict[str, Any]:
    size: str | int = int(window.max_bytes) if window.max_bytes.isdecimal() else window.max_bytes
    return _given({"maxRuns": window.max_runs, "maxBytes": size, "maxSeconds": window.max_seconds})


def _output(target: Target) -> dict[str, Any]:
    if target.claim and target.s3_uri:
        raise WrongUsage("--claim and --s3-uri exclude each other: a trace goes to one place")
    if target.claim_path and not target.claim:
        raise WrongUsage("--claim-path is a folder of a claim: name it by --claim")
    beside = {"endpoint": target.s3_endpoint, "region": target.s3_region, "secretName": target.s3_secret}
    if any(beside.values()) and not target.s3_uri:
        raise WrongUsage("--s3-endpoint, --s3-region and --s3-secret belong to --s3-uri")
    if target.claim:
        claim = _given({"claimName": target.claim, "path": target.claim_path})
        return {"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim}
    return {"type": "S3", "s3": _given({"uri": target.s3_uri, **beside})} if target.s3_uri else {}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {})}
