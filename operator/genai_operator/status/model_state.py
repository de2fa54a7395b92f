"""`status.model`: what was fetched or verified, and how far that is; and what conditions say while it goes on.

Pods of the newest template alone are looked at: older ones may have another model. What keeps a pod from starting is
`causes.py`'s.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.status_model import ModelProgress, ModelState
from genai_operator.constants import CONTAINER_FETCH
from genai_operator.status.causes import CRASHES, Cause, pod_cause
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import FetchProgress, ObservedModel, ObservedPod
from genai_operator.status.reasons import MODEL_FAULTS, Reason


def model_state(observed: ObservedModel) -> ModelState | None:
    """None where no pod has to fetch or verify the model first."""
    pods = _prepared_first(observed)
    if not pods:
        return None
    said = next((words for pod in reversed(pods) if (words := _words(pod))), {})
    return ModelState(
        state=_state(pods),
        digest=said.get("digest"),
        revision=said.get("revision") or None,
        size_bytes=said.get("bytes"),
        files=said.get("files"),
        cached=said.get("cached"),
        progress=_progress(pods, observed.fetches),
    )


def under_way(observed: ObservedModel) -> str:
    """Which pod fetches the model, in words; empty where none does."""
    found = [pod for pod in live_pods(observed) if pod.fetching and pod_cause(pod) is None]
    return f"pod {found[0].name} fetches the model" if found else ""


def complete(model: GenAIModel, observed: ObservedModel) -> str:
    """That the folder is there, though nothing has loaded it yet, in words; empty where it is not known."""
    pods = _prepared_first(observed)
    known = bool(pods) and _state(pods) in ("Fetched", "Verified")
    return f"{model.spec.model.uri} is complete in the pod; no pod has loaded it yet" if known else ""


def named_source(model: GenAIModel, observed: ObservedModel, cause: Cause) -> str:
    """The message of a cause, with the source before it where the source or its Secret may be to blame."""
    source = model.spec.model
    waiting = any(not pod.prepared for pod in _prepared_first(observed))
    if cause.reason not in MODEL_FAULTS and not (waiting and cause.reason is Reason.INVALID_SPEC):
        return cause.message
    secret = f" (Secret {source.secret_name})" if source.secret_name else ""
    known = source.uri in cause.message and not secret
    return cause.message if known else f"{source.uri}{secret}: {cause.message}"


def _prepared_first(observed: ObservedModel) -> list[ObservedPod]:
    """The pods of the newest template that have an init container for the model, the newest last."""
    pods = sorted(live_pods(observed), key=lambda pod: (pod.created, pod.name))
    return [pod for pod in pods if pod.template == pods[-1].template and pod.preparation]


# What an init container may say of the folder: the type, and how long or large it may be. The image may be anybody's.
_WORDS: dict[str, tuple[type, int]] = {
    "digest": (str, 64),
    "revision": (str, 253),
    "bytes": (int, 2**53),
    "files": (int, 2**31),
    "cached": (bool, 1),
}

_State = Literal["Pending", "Fetching", "Verifying", "Fetched", "Verified", "Failed"]


def _state(pods: Sequence[ObservedPod]) -> _State:
    fetches = any(pod.preparation == CONTAINER_FETCH for pod in pods)
    waiting = [pod for pod in pods if not pod.prepared]
    if any((cause := pod_cause(pod)) is not None and cause.reason in CRASHES for pod in waiting):
        return "Failed"
    if any(pod.preparing for pod in waiting):
        return "Fetching" if fetches else "Verifying"
    if len(waiting) == len(pods):
        return "Pending"
    return "Fetched" if fetches else "Verified"


def _words(pod: ObservedPod) -> dict[str, Any]:
    """What the init container said of the folder in the end; values that are none are left out."""
    try:
        words = json.loads(pod.folder_words.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    if not pod.prepared or not isinstance(words, dict):
        return {}
    return {name: words[name] for name, (kind, most) in _WORDS.items() if _is(words.get(name), kind, most)}


def _is(value: object, kind: type, most: int) -> bool:
    if type(value) is not kind:
        return False
    return len(value) <= most if isinstance(value, str) else isinstance(value, int) and 0 <= value <= most


def _progress(pods: Sequence[ObservedPod], answers: Mapping[str, FetchProgress]) -> ModelProgress | None:
    """Of the pod that has most to do still; those that wait for another's fetch tell nothing."""
    known = [
        (answer.fetched_bytes / answer.total_bytes, pod, answer)
        for pod in pods
        if pod.fetching and (answer := answers.get(pod.uid)) and answer.total_bytes > 0
    ]
    if not known:
        return None
    share, pod, answer = min(known, key=lambda each: (each[0], each[1].name))
    return ModelProgress(
        pod=pod.name,
        percent=min(100, int(100 * share)),
        fetched_bytes=answer.fetched_bytes,
        total_bytes=answer.total_bytes,
        remaining_seconds=round(answer.remaining_seconds) if answer.remaining_seconds > 0 else None,
    )
