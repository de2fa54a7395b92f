"""Why a pod does not serve, told from what the kubelet, the scheduler and the pod itself said.

What the causes of several pods mean for the model is `summary.py`'s work.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from genai_operator.status.observed import ObservedDeployment, ObservedPod
from genai_operator.status.reasons import LAST_WORDS, MODEL_FAULTS, Reason

_IMAGE = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_CONFIG = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
)
_KILLED = 137
_LINE_LENGTH = 400

# How the operator says that a kind of object is not there to be made.
NOT_SERVED = "the cluster has no"

# Causes that a container's end showed: while there is one, the model is not Ready.
CRASHES = (
    Reason.OUT_OF_MEMORY,
    *MODEL_FAULTS,
    Reason.EXECUTION_PROVIDER_UNAVAILABLE,
    Reason.INVALID_SPEC,
    Reason.CRASH_LOOP_BACK_OFF,
)
# Of several pods' causes, the first in this order is told.
_ORDER = (
    *CRASHES,
    Reason.CONTAINER_CONFIG_ERROR,
    Reason.IMAGE_PULL_BACK_OFF,
    Reason.QUOTA_EXCEEDED,
    Reason.ADMISSION_DENIED,
    Reason.UNSCHEDULABLE,
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What keeps a pod from serving."""

    reason: Reason
    message: str


def first_cause(pods: Iterable[ObservedPod], deployment: ObservedDeployment | None) -> Cause | None:
    """The cause to tell of a model, None when its pods are well or on their way.

    A pod of an older template that never got its model tells nothing any more: a roll-out keeps it until the new one
    is Ready.
    """
    ordered = sorted(pods, key=lambda pod: (pod.created, pod.name))
    counted = (pod for pod in ordered if pod.template == ordered[-1].template or not _never_prepared(pod))
    causes = [cause for pod in counted if (cause := pod_cause(pod)) is not None]
    if deployment and deployment.failure_message:
        said = f"the cluster refuses the pods: {deployment.failure_message}"
        causes.append(Cause(refusal_reason(deployment.failure_message), said))
    return min(causes, key=lambda cause: _ORDER.index(cause.reason), default=None)


def _never_prepared(pod: ObservedPod) -> bool:
    return bool(pod.preparation) and not pod.prepared


def pod_cause(pod: ObservedPod) -> Cause | None:
    """Why this pod does not serve; None when it does, or when nothing is wrong yet."""
    if pod.ready or pod.deleting:
        return None
    if pod.unschedulable_message:
        return Cause(Reason.UNSCHEDULABLE, pod.unschedulable_message)
    if pod.waiting_reason in _IMAGE:
        return Cause(Reason.IMAGE_PULL_BACK_OFF, f"pod {pod.name}: {pod.waiting_message or pod.waiting_reason}")
    if pod.waiting_reason in _CONFIG:
        said = f"{pod.waiting_reason}: {pod.waiting_message}"
        return Cause(Reason.CONTAINER_CONFIG_ERROR, f"pod {pod.name}: {said}")
    if pod.exit_code is None and not pod.terminated_reason and pod.waiting_reason != "CrashLoopBackOff":
        return None
    cause = _crash(pod)
    # What may pass by itself is no trouble while it is tried again.
    passing = cause is not None and cause.reason is Reason.SOURCE_UNAVAILABLE and pod.fetching
    return None if passing else cause


def _crash(pod: ObservedPod) -> Cause | None:
    reason, message = _last_words(pod.terminated_message)
    where = f"pod {pod.name}"
    if pod.terminated_reason != "OOMKilled" and reason in LAST_WORDS:
        return Cause(Reason(reason), message)
    if pod.terminated_reason == "OOMKilled" or pod.exit_code == _KILLED:
        return Cause(
            Reason.OUT_OF_MEMORY,
            f"{where} was killed for its memory; raise resources.limits.memory",
        )
    if pod.exit_code == 0 and pod.waiting_reason != "CrashLoopBackOff":
        return None
    ended = f"{where} ended with exit code {pod.exit_code}" if pod.exit_code is not None else f"{where} keeps ending"
    times = f", {pod.restarts} restarts" if pod.restarts else ""
    return Cause(Reason.CRASH_LOOP_BACK_OFF, f"{ended}{times}; its last words: {message or 'none'}")


def _last_words(text: str) -> tuple[str, str]:
    """(reason, message) of a pod's last line: a JSON line of its own, or the end of its log with no reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "", ""
    try:
        words = json.loads(lines[-1])
    except ValueError:
        words = None
    if not isinstance(words, dict) or "message" not in words:
        return "", lines[-1][:_LINE_LENGTH]
    return str(words.get("reason", "")), str(words["message"])


def refusal_reason(message: str) -> Reason:
    """What it means that the API server refuses an object, by its words."""
    if NOT_SERVED in message:
        return Reason.AUTOSCALER_UNAVAILABLE
    if "exceeded quota" in message:
        return Reason.QUOTA_EXCEEDED
    return Reason.INVALID_SPEC if "is invalid" in message else Reason.ADMISSION_DENIED
