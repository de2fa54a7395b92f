"""What a GenAIProfile's status says: how far it is, which traces can be fetched, what came of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genai_kubectl.decisions.quantities import age, percent, size
from genai_kubectl.errors import CommandFailed

Object = Mapping[str, Any]
LIST_HEADER = ("NAME", "MODEL", "PHASE", "PODS", "RUNS", "DROPPED", "OVERHEAD", "AGE")
LIST_HEADER_WIDE = (*LIST_HEADER, "REQUESTS", "BYTES", "OUTPUT")
POD_HEADER = ("POD", "STATE", "RUNS", "REQUESTS", "BYTES", "DROPPED", "OVERHEAD", "MESSAGE")
OPERATOR_HEADER = ("OPERATOR", "PROVIDER", "CALLS", "SHARE")


@dataclass(frozen=True, slots=True)
class PodTrace:
    """A trace that lies in a pod."""

    pod: str
    profile: str


def finished(profile: Object) -> bool:
    """Whether nothing more will come."""
    return phase(profile) in ("Complete", "Failed")


def phase(profile: Object) -> str:
    """Pending for one that no operator has seen."""
    return str(profile.get("status", {}).get("phase") or "Pending")


def pods(profile: Object) -> list[Mapping[str, Any]]:
    """The chosen pods, by name."""
    return sorted(profile.get("status", {}).get("pods") or (), key=lambda pod: str(pod["name"]))


def explanation(profile: Object) -> str:
    """Why it is in its phase, in the operator's words; empty without any."""
    conditions = {each["type"]: each for each in profile.get("status", {}).get("conditions") or ()}
    for kind, truth in (("Failed", "True"), ("Accepted", "False"), ("Complete", "True"), ("Captured", "False")):
        found = conditions.get(kind)
        if found and found["status"] == truth:
            return f"{found['reason']}: {found.get('message', '')}".rstrip(": ")
    return ""


def waiting_for(profile: Object) -> str:
    """What an unfinished one waits for, in a few words."""
    if not profile.get("status"):
        return "the operator has not taken it up"
    found = [pod for pod in pods(profile) if pod.get("state") == "Pending" and pod.get("reason")]
    if found:
        return f"pod {found[0]['name']}: {found[0]['reason']}"
    return explanation(profile) or phase(profile)


def traces(profile: Object, *, allow_missing: bool) -> list[PodTrace]:
    """Where its pods' traces lie. Pods in which nothing was to be captured have none, and miss none.

    Raises:
        CommandFailed: it has none yet, or, without `allow_missing`, a pod's trace is missing.
    """
    name = profile["metadata"]["name"]
    if not finished(profile) and phase(profile) != "Collecting":
        raise CommandFailed(f"{name!r} is not finished: {phase(profile)}; stop it: kubectl genai profile stop {name}")
    found = [
        PodTrace(str(pod["name"]), str(pod["profileId"]))
        for pod in pods(profile)
        if pod.get("state") == "Complete" and pod.get("profileId")
    ]
    missing = [
        pod for pod in pods(profile) if pod.get("state") != "Complete" and pod.get("reason") != "NothingCaptured"
    ]
    if not found:
        raise CommandFailed(f"{name!r} has no trace: {explanation(profile) or phase(profile)}")
    if missing and not allow_missing:
        said = "; ".join(f"{pod['name']} {pod.get('reason') or pod.get('state')}" for pod in missing)
        raise CommandFailed(f"{name!r} lacks the trace of {said}; fetch the others by --allow-missing")
    return found


def missing_pods(profile: Object) -> list[str]:
    """Pods that were chosen and have no trace, each in a few words."""
    missing = [pod for pod in pods(profile) if pod.get("state") != "Complete"]
    return [f"no trace of pod {pod['name']}: {pod.get('reason') or pod.get('state')}" for pod in missing]


def list_row(profile: Object, now: datetime, *, wide: bool) -> tuple[str, ...]:
    """One line of `profile list`."""
    status = profile.get("status", {})
    chosen = pods(profile)
    done = sum(pod.get("state") == "Complete" for pod in chosen)
    row = (
        str(profile["metadata"]["name"]),
        str(profile["spec"]["model"]),
        phase(profile),
        f"{done}/{len(chosen)}",
        str(status.get("capturedRuns", 0)),
        str(status.get("droppedRuns", 0)),
        percent(status.get("overheadPercent")),
        age(str(profile["metadata"].get("creationTimestamp", "")), now),
    )
    if not wide:
        return row
    artifact = status.get("artifact") or {}
    place = artifact.get("location") or (profile["spec"].get("output") or {}).get("type", "Pod")
    return (*row, str(status.get("capturedRequests", 0)), size(status.get("capturedBytes", 0)), str(place))


def pod_rows(profile: Object) -> list[tuple[str, ...]]:
    """One line a pod."""
    return [
        (
            str(pod["name"]),
            str(pod.get("state", "")) + (f"/{pod['reason']}" if pod.get("reason") else ""),
            str(pod.get("runs", 0)),
            str(pod.get("requests", 0)),
            size(pod.get("bytes", 0)),
            str(pod.get("droppedRuns", 0)),
            percent(pod.get("overheadPercent")),
            str(pod.get("message", "")),
        )
        for pod in pods(profile)
    ]


def operator_rows(operators: Sequence[Object]) -> list[tuple[str, ...]]:
    """Of `status.topOperators`."""
    return [
        (str(each["opType"]), str(each["provider"]), str(each["calls"]), percent(each["sharePercent"]))
        for each in operators
    ]


def progress_of(pod: Object, limits: Object) -> tuple[int, int | None]:
    """(runs so far, runs at which it closes; None where only the operator's default holds)."""
    wanted = limits.get("maxRuns")
    return int(pod.get("runs", 0)), int(wanted) if wanted else None
