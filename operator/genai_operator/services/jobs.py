"""Jobs that we make for a model or a profile, as watches show them, and the last words of their pods.

A Job is made once for one purpose and never changed. What it looks like is the builders', what its words mean is told
by who had it made.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from genai_operator.clients.kube import POD, KubeClient
from genai_operator.constants import ANNOTATION_REVISION, LABEL_BUILD, LABEL_TUNING
from genai_operator.services.reading import controller_uid, observed_pod
from genai_operator.status.observed import JobState, ObservedPod

Object = Mapping[str, Any]

# How often a Job that the API server refuses is tried.
REFUSED_SECONDS = 30.0
_WORDS_LENGTH = 400
_MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class KnownJob:
    """Whose it is by its owner's uid, what it was made for, and what became of it, with the Job controller's words."""

    uid: str
    version: int
    owner_uid: str
    state: JobState
    message: str
    revision: str = ""
    deleting: bool = False


def known_job(body: Object) -> KnownJob:
    """What we keep of a Job."""
    metadata, state, message = body["metadata"], JobState.RUNNING, ""
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            state = JobState(str(condition["type"]))
            message = str(condition.get("message") or condition.get("reason") or "")[:_MESSAGE_LENGTH]
    return KnownJob(
        uid=str(metadata.get("uid", "")),
        version=int(metadata.get("resourceVersion") or 0),
        owner_uid=controller_uid(body),
        state=state,
        message=message,
        revision=str((metadata.get("annotations") or {}).get(ANNOTATION_REVISION, "")),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


class JobBook:
    """The Jobs that carry a label of ours; the label's value names the object that each was made for."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._jobs: dict[str, KnownJob] = {}  # by namespace/name of that object

    def job(self, key: str) -> KnownJob | None:
        """The Job of one object."""
        return self._jobs.get(key)

    def observe(self, event: str | None, body: Object) -> str | None:
        """Takes a watch event in; returns the key of the object that has to be looked at, if any."""
        name = (body["metadata"].get("labels") or {}).get(self._label)
        if not name:
            return None
        key = f"{body['metadata']['namespace']}/{name}"
        job, known = known_job(body), self._jobs.get(key)
        if event == "DELETED":
            if known is None or known.uid == job.uid:
                self._jobs.pop(key, None)
            return key
        if known is not None and known.uid == job.uid and known.version >= job.version:
            return None
        self._jobs[key] = job
        changed = known is None or (known.uid, known.state, known.message) != (job.uid, job.state, job.message)
        return key if changed else None

    def missing(self, seen: Set[str], snapshot: int, namespace: str = "") -> list[str]:
        """Drops what a complete listing did not show, unless it is newer; returns the keys to look at."""
        gone = [
            key
            for key, each in self._jobs.items()
            if each.uid not in seen and each.version <= snapshot and (not namespace or key.startswith(f"{namespace}/"))
        ]
        for key in gone:
            del self._jobs[key]
        return gone


def is_of_model(body: Object) -> bool:
    """Whether a Job was made for a model: to find its settings, or to build it."""
    return any(label in (body["metadata"].get("labels") or {}) for label in (LABEL_TUNING, LABEL_BUILD))


async def newest_pod(kube: KubeClient, namespace: str, selector: str, job: KnownJob) -> ObservedPod | None:
    """The newest pod of a Job.

    Raises:
        ClusterError: the API server did not answer.
    """
    found: list[ObservedPod] = []
    async for items, _ in kube.list(POD, namespace, selector):
        found += [observed_pod(body) for body in items if controller_uid(body) == job.uid]
    return max(found, key=lambda pod: (pod.created, pod.name), default=None)


def last_line(pod: ObservedPod | None) -> str:
    """The last line that the pod's container left."""
    lines = [line.strip() for line in (pod.terminated_message if pod else "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def parsed(line: str) -> dict[str, Any]:
    """A JSON object; empty when the line is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def failure(line: str, job: KnownJob) -> str:
    """Why a Job failed: the message of a JSON line, or the end of its log; and what the Job's controller says."""
    words = str(parsed(line).get("message") or line)[:_WORDS_LENGTH]
    return "; ".join(filter(None, (words, job.message)))
