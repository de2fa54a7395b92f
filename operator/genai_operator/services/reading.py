"""From the API server's objects to what decisions need: `status.observed`'s plain data, and digests for drift.

No state is kept here (that is `cache.py`), and nothing is decided (that is `status/`).
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from genai_operator.constants import CONDITION_MEASURED, CONTAINER_FETCH, CONTAINER_VERIFY, GROUP
from genai_operator.status.observed import ObservedDeployment, ObservedPod

Object = Mapping[str, Any]

_TEXT_LIMIT = 4096
# The Deployment controller writes these; they change with every roll-out and are not drift.
_FOREIGN_ANNOTATIONS = "deployment.kubernetes.io/"
_KEPT_METADATA = ("name", "namespace", "uid", "generation", "resourceVersion", "deletionTimestamp")


def controller_uid(body: Object) -> str:
    """The uid of the object that controls this one; empty when there is none."""
    for owner in body.get("metadata", {}).get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner.get("uid", ""))
    return ""


def digest(body: Object) -> bytes:
    """A digest of what we may have written into a child; its status and the API server's bookkeeping are left out."""
    metadata = body.get("metadata", {})
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if not name.startswith(_FOREIGN_ANNOTATIONS)
    }
    essence = {name: value for name, value in body.items() if name not in ("metadata", "status", "apiVersion", "kind")}
    parts = (essence, metadata.get("labels") or {}, annotations, metadata.get("ownerReferences") or [])
    return manifest_digest(parts)


def manifest_digest(manifest: object) -> bytes:
    """A digest of any JSON value; equal values have equal digests."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=12).digest()


def compact_model(body: Object) -> bytes:
    """A GenAIModel as JSON, without what no decision reads: field managers and other tools' annotations."""
    metadata = body.get("metadata", {})
    kept = {name: metadata[name] for name in _KEPT_METADATA if name in metadata}
    kept["annotations"] = {
        name: value for name, value in (metadata.get("annotations") or {}).items() if name.split("/", 1)[0] == GROUP
    }
    essence = {"metadata": kept, "spec": body.get("spec") or {}, "status": body.get("status") or {}}
    return json.dumps(essence, separators=(",", ":")).encode()


def observed_deployment(body: Object) -> ObservedDeployment:
    """What decisions need of a Deployment."""
    status = body.get("status") or {}
    failure = _condition(status, "ReplicaFailure")
    template = ((body.get("spec") or {}).get("template") or {}).get("spec") or {}
    container: Object = next(iter(template.get("containers") or ()), {})
    return ObservedDeployment(
        generation=int(body.get("metadata", {}).get("generation") or 0),
        observed_generation=int(status.get("observedGeneration") or 0),
        replicas=int(status.get("replicas") or 0),
        ready_replicas=int(status.get("readyReplicas") or 0),
        updated_replicas=int(status.get("updatedReplicas") or 0),
        available_replicas=int(status.get("availableReplicas") or 0),
        image=str(container.get("image") or ""),
        failure_message=_text(failure.get("message")) if failure.get("status") == "True" else "",
    )


def observed_pod(body: Object) -> ObservedPod:
    """What decisions need of a pod; of its containers the one that has most to say."""
    metadata = body.get("metadata", {})
    status = body.get("status") or {}
    container: Object = next(iter(status.get("containerStatuses") or ()), {})
    stuck = _stuck_initial_container(status)
    telling = stuck or container
    state = telling.get("state") or {}
    waiting = state.get("waiting") or {}
    terminated = state.get("terminated") or (telling.get("lastState") or {}).get("terminated") or {}
    scheduled = _condition(status, "PodScheduled")
    measured = _condition(status, CONDITION_MEASURED)
    gates = (body.get("spec") or {}).get("readinessGates") or ()
    return ObservedPod(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        ip=str(status.get("podIP") or ""),
        phase=str(status.get("phase") or ""),
        ready=_condition(status, "Ready").get("status") == "True",
        deleting=bool(metadata.get("deletionTimestamp")),
        created=str(metadata.get("creationTimestamp") or ""),
        container_id=str(container.get("containerID") or ""),
        running="running" in (container.get("state") or {}),
        restarts=int(telling.get("restartCount") or 0),
        waiting_reason=str(waiting.get("reason") or ""),
        waiting_message=_text(waiting.get("message")),
        terminated_reason=str(terminated.get("reason") or ""),
        terminated_message=_text(terminated.get("message")),
        exit_code=terminated.get("exitCode"),
        unschedulable_message=_text(scheduled.get("message")) if scheduled.get("reason") == "Unschedulable" else "",
        containers_ready=_condition(status, "ContainersReady").get("status") == "True",
        template=str((metadata.get("labels") or {}).get("pod-template-hash") or ""),
        gated=any(gate.get("conditionType") == CONDITION_MEASURED for gate in gates),
        measured=str(measured.get("status") or ""),
        measured_message=_text(measured.get("message")),
        initial=str((stuck or _running_initial_container(status)).get("name") or ""),
        **_preparation(status),
    )


def _stuck_initial_container(status: Object) -> Object | None:
    """The init container that does not get anywhere, also while it is tried once more: it tells why."""
    for initial in status.get("initContainerStatuses") or ():
        state = initial.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        last = {} if ended else (initial.get("lastState") or {}).get("terminated") or {}
        failed = ended.get("exitCode") or last.get("exitCode")
        if failed or waiting.get("reason") not in (None, "", "PodInitializing"):
            return dict(initial)
    return None


def _running_initial_container(status: Object) -> Object:
    statuses = status.get("initContainerStatuses") or ()
    return next((dict(each) for each in statuses if "running" in (each.get("state") or {})), {})


def _preparation(status: Object) -> dict[str, Any]:
    """What the init container for the model does, or said in the end."""
    statuses = status.get("initContainerStatuses") or ()
    found: Object = next((each for each in statuses if each.get("name") in (CONTAINER_FETCH, CONTAINER_VERIFY)), {})
    state = found.get("state") or {}
    ended = state.get("terminated") or {}
    return {
        "preparation": str(found.get("name") or ""),
        "preparation_id": str(found.get("containerID") or ""),
        "preparing": "running" in state,
        "prepared": ended.get("exitCode") == 0,
        "folder_words": _text(ended.get("message")) if ended.get("exitCode") == 0 else "",
    }


def _condition(status: Object, kind: str) -> Object:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return {}


def _text(value: object) -> str:
    return str(value or "")[:_TEXT_LIMIT]
