"""Why a model is as it is: from its conditions, pods, events and logs to one sentence and what helps. Pure.

The conditions decide; pods, events and logs fill in what they leave open. What the reasons mean is in `why_rules.py`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genai_kubectl.decisions.pods import ready
from genai_kubectl.decisions.why_rules import RULES, UNKNOWN

Object = Mapping[str, Any]
_GOOD = ("Accepted", "Available", "Built", "Serving", "Complete", "Healthy", "Applied", "NoPods")
# Reasons whose condition may not say all: the newest warning of the cluster is added.
_ASKS_EVENTS = ("Pending", "Loading", "RollingOut", "ContainerConfigError")
_ASKS_LOG = ("CrashLoopBackOff", "ModelInvalid", "OutOfMemory")
_LENGTH = 300
_SHOWN_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. `logs`: the last lines of pods, by name."""

    model: Object
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    logs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One sentence, what helps, and what they follow from."""

    reason: str
    sentence: str
    remedy: str
    pod: str
    good: bool
    evidence: tuple[str, ...] = ()


def why(facts: Facts) -> Answer:
    """The first thing that keeps the model from being what its spec says, or that nothing does."""
    reason, message = _verdict(facts.model)
    pod = _pod_in_question(facts, message)
    detail = _detail(facts, reason, message, pod)
    rule = RULES.get(reason, UNKNOWN)
    names = {
        "name": facts.model["metadata"]["name"],
        "namespace": facts.model["metadata"]["namespace"],
        "pod": pod or "POD",
    }
    said = _sentence(rule.sentence.format(message=_one_line(message), **names) + detail)
    return Answer(
        reason=reason,
        sentence=said,
        remedy=rule.remedy.format(message="", **names),
        pod=pod,
        good=reason in _GOOD,
        evidence=tuple(_evidence(facts)),
    )


def log_wanted(model: Object, pods: Sequence[Object]) -> str:
    """The pod whose last words before its end would help; empty where none would."""
    reason, message = _verdict(model)
    return _pod_in_question(Facts(model, pods), message) if reason in _ASKS_LOG else ""


def _verdict(model: Object) -> tuple[str, str]:
    """(reason, message) of what counts most."""
    status = model.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    if "Ready" not in conditions:
        return "NotSeen", ""
    ready_condition = conditions["Ready"]
    candidates = (
        ("Accepted", "False"),
        ("Ready", "False"),
        ("Degraded", "True"),
        ("ModelAvailable", "False"),
        ("RuntimeOptionsApplied", "False"),
    )
    for kind, bad in candidates:
        found = conditions.get(kind)
        if found and found["status"] == bad:
            return str(found["reason"]), str(found.get("message", ""))
    behind = status.get("observedGeneration", 0) < model["metadata"].get("generation", 0)
    progressing = conditions.get("Progressing") or {}
    if progressing and progressing.get("reason") not in _GOOD:
        return str(progressing["reason"]), str(progressing.get("message", ""))
    if behind:
        seen, wanted = status.get("observedGeneration", 0), model["metadata"]["generation"]
        return "NotActedOn", f"generation {wanted} is there, {seen} was acted on"
    return str(ready_condition["reason"]), str(ready_condition.get("message", ""))


def _pod_in_question(facts: Facts, message: str) -> str:
    """The pod that the message names, else the newest that is not ready, else the newest."""
    names = [str(pod["metadata"]["name"]) for pod in facts.pods]
    named = next((name for name in names if name in message), "")
    if named or not names:
        return named
    order = sorted(facts.pods, key=lambda pod: (ready(pod), _descending(pod)))
    return str(order[0]["metadata"]["name"])


def _descending(pod: Object) -> tuple[int, ...]:
    return tuple(-ord(char) for char in str(pod["metadata"].get("creationTimestamp", "")))


def _detail(facts: Facts, reason: str, message: str, pod: str) -> str:
    """What the condition leaves open, as the end of the sentence."""
    if reason in _ASKS_LOG and pod in facts.logs:
        last = _last_log_line(facts.logs[pod])
        if last and last not in message:
            return f'; the last line of its log: "{last}"'
    if reason in _ASKS_EVENTS:
        warnings = [event for event in _own_events(facts) if event.get("type") == "Warning"]
        if warnings:
            newest = warnings[-1]
            return f"; the cluster says {newest.get('reason')}: {_one_line(str(newest.get('message', '')))}"
    return ""


def _own_events(facts: Facts) -> list[Object]:
    """Of the model and of what was made for it, the oldest first."""
    name = str(facts.model["metadata"]["name"])
    pods = {str(pod["metadata"]["name"]) for pod in facts.pods}
    own: list[Object] = []
    for event in facts.events:
        about = _about(event)
        kind, of = about.get("kind"), str(about.get("name", ""))
        hashed = kind == "ReplicaSet" and of.rpartition("-")[0] == name
        if (kind in ("GenAIModel", "Deployment") and of == name) or (kind == "Pod" and of in pods) or hashed:
            own.append(event)
    return own


def _about(event: Object) -> Object:
    found: Object = event.get("involvedObject") or event.get("regarding") or {}
    return found


def _last_log_line(log: str) -> str:
    """The last line that says something; of a JSON line, its words."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        entry = json.loads(lines[-1])
    except ValueError:
        return _one_line(lines[-1])
    if not isinstance(entry, dict):
        return _one_line(lines[-1])
    said = entry.get("error") or entry.get("message") or entry.get("event")
    return _one_line(str(said or lines[-1]))


def _evidence(facts: Facts) -> Iterator[str]:
    for each in (facts.model.get("status") or {}).get("conditions") or ():
        yield f"condition {each['type']} {each['status']} {each['reason']}: {_one_line(str(each.get('message', '')))}"
    for pod in facts.pods:
        yield f"pod {pod['metadata']['name']} {_pod_state(pod)}"
    for event in _own_events(facts)[-_SHOWN_EVENTS:]:
        about, said = _about(event), _one_line(str(event.get("message", "")))
        yield f"event {event.get('reason')} of {about.get('kind')} {about.get('name')}: {said}"


def _pod_state(pod: Object) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"{waiting.get('reason')}: {_one_line(str(waiting.get('message', '')))}".rstrip(": ")
    return "Ready" if ready(pod) else str(status.get("phase", "Unknown"))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LENGTH else line[: _LENGTH - 3] + "..."


def _sentence(text: str) -> str:
    """Ended by one full stop; a message that is empty leaves no colon behind."""
    return text.rstrip().rstrip(":.").rstrip() + "."
