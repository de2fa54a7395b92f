"""Which pods a profile takes, and what is to be done with each now. Doing it is `services.windows`'s work.

Pods are chosen once and written into the status before any window is opened: an operator that starts again takes the
same ones. What the answers mean is `profile_windows.py`'s.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.profile_spec import MAX_PODS
from genai_operator.api.profile_status import ProfilePod
from genai_operator.status.conditions import previous_condition
from genai_operator.status.observed import ObservedPod
from genai_operator.status.profile_observed import ObservedProfile, Waiting
from genai_operator.status.profile_reasons import ProfileCondition, ProfileReason

ENDED = ("Complete", "Failed")


class Action(StrEnum):
    """A call to a pod."""

    NONE = "none"
    OPEN = "open"
    ASK = "ask"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Step:
    """One chosen pod, what its window was, and the call that is due. `expired`: it has no more time to wait."""

    entry: ProfilePod
    action: Action = Action.NONE
    pod: ObservedPod | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """Steps for the chosen pods, or why there are none yet. `fresh`: they were chosen just now."""

    steps: tuple[Step, ...] = ()
    waiting: Waiting | None = None
    fresh: bool = False
    expired: bool = False


def plan_profile(profile: GenAIProfile, seen: ObservedProfile, known: frozenset[str] = frozenset()) -> ProfilePlan:
    """What to do now. `known`: uids of pods whose finished windows were told to this process."""
    chosen = profile.status.pods
    expired = _expired(profile, seen.now)
    started = any(entry.state != "Pending" for entry in chosen)
    if profile.spec.suspend and not started:
        waiting = Waiting(ProfileReason.SUSPENDED, "spec.suspend is true: it waits")
        return ProfilePlan(tuple(Step(entry) for entry in chosen), waiting)
    if not chosen or (not started and _must_choose_again(profile, seen)):
        choice = _choose(profile, seen)
        if isinstance(choice, Waiting):
            return ProfilePlan(waiting=choice, expired=expired)
        return ProfilePlan(tuple(Step(entry) for entry in choice), fresh=True)
    pods = {pod.uid: pod for pod in seen.pods} | {pod.name: pod for pod in seen.pods}
    unfinished = profile.status.phase in ("Pending", "Running")
    steps = []
    for entry in chosen:
        step = _step(entry, pods, stop=profile.spec.suspend, expired=expired)
        if unfinished and entry.state == "Complete" and entry.uid not in known and entry.uid in pods:
            step = Step(entry, Action.ASK, pods[entry.uid])  # an operator that has just started sums up as well
        steps.append(step)
    return ProfilePlan(tuple(steps), expired=expired)


def _step(entry: ProfilePod, pods: Mapping[str, ObservedPod], *, stop: bool, expired: bool) -> Step:
    if entry.state in ENDED:
        return Step(entry)
    pod = pods.get(entry.uid or entry.name)
    if pod is None:
        return Step(_without_pod(entry, expired=expired), expired=expired)
    found = entry.model_copy(update={"uid": pod.uid})
    if entry.state in ("Open", "Merging"):
        return Step(found, Action.CLOSE if stop and entry.state == "Open" else Action.ASK, pod, expired)
    if stop:
        said = "the profile was suspended before this pod's window opened"
        return Step(failed(found, ProfileReason.STOPPED, said))
    if not pod.ready:
        return Step(waiting_entry(found, ProfileReason.POD_NOT_READY, "the pod is not Ready", expired=expired))
    return Step(found, Action.OPEN, pod, expired)


def _without_pod(entry: ProfilePod, *, expired: bool) -> ProfilePod:
    if entry.uid:
        when = "before its window opened" if entry.state == "Pending" else "while its window was open"
        return failed(entry, ProfileReason.POD_GONE, f"the pod ended {when}; what it captured went with it")
    said = "the model has no such pod"
    return waiting_entry(entry, ProfileReason.POD_NOT_FOUND, said, expired=expired)


def waiting_entry(entry: ProfilePod, reason: ProfileReason, message: str, *, expired: bool) -> ProfilePod:
    """A pod whose window is still to be opened; failed when it has no more time."""
    if expired:
        return failed(entry, reason, f"{message}; startDeadlineSeconds is over")
    return entry.model_copy(update={"state": "Pending", "reason": reason.value, "message": message})


def failed(entry: ProfilePod, reason: ProfileReason, message: str) -> ProfilePod:
    """A pod that gives nothing."""
    return entry.model_copy(update={"state": "Failed", "reason": reason.value, "message": message})


def _expired(profile: GenAIProfile, now: datetime) -> bool:
    """Whether it has waited for longer than it may; the time counts from when it was not suspended."""
    condition = previous_condition(profile.raw_status, ProfileCondition.SUSPENDED)
    if condition.get("status") != "False" or not condition.get("lastTransitionTime"):
        return False
    since = datetime.fromisoformat(str(condition["lastTransitionTime"]))
    return (now - since).total_seconds() > profile.spec.start_deadline_seconds


def _must_choose_again(profile: GenAIProfile, seen: ObservedProfile) -> bool:
    """No window was opened yet and a chosen pod is gone: another one does as well, unless it was named."""
    named = profile.spec.pods is not None and profile.spec.pods.names is not None
    present = {pod.uid for pod in seen.pods}
    return not named and any(entry.uid not in present for entry in profile.status.pods)


def _choose(profile: GenAIProfile, seen: ObservedProfile) -> tuple[ProfilePod, ...] | Waiting:
    model = profile.spec.model
    if not seen.model_found:
        return Waiting(ProfileReason.MODEL_NOT_FOUND, f"there is no GenAIModel {model} in this namespace")
    if seen.model_halted:
        said = f"GenAIModel {model} is halted: it runs nothing that could be captured; set terminate-session to 0"
        return Waiting(ProfileReason.MODEL_HALTED, said)
    pods = sorted(seen.pods, key=lambda pod: pod.name)
    selector = profile.spec.pods
    if selector is not None and selector.names is not None:
        uids = {pod.name: pod.uid for pod in pods}
        return _entries([(name, uids.get(name, "")) for name in selector.names])
    ready = [(pod.name, pod.uid) for pod in pods if pod.ready]
    if not ready:
        return Waiting(ProfileReason.NO_READY_PODS, f"GenAIModel {model} has no Ready pod")
    if selector is not None and selector.count is not None:
        if len(ready) < selector.count:
            said = f"GenAIModel {model} has {len(ready)} Ready pods, pods.count is {selector.count}"
            return Waiting(ProfileReason.NOT_ENOUGH_PODS, said)
        return _entries(ready[: selector.count])
    percent = selector.percent if selector is not None and selector.percent is not None else 100
    wanted = math.ceil(len(ready) * percent / 100)
    if wanted > MAX_PODS:
        said = f"{wanted} pods are more than the {MAX_PODS} that one profile takes; use pods.count"
        return Waiting(ProfileReason.TOO_MANY_PODS, said, final=True)
    return _entries(ready[:wanted])


def _entries(pods: Sequence[tuple[str, str]]) -> tuple[ProfilePod, ...]:
    starting = ProfileReason.STARTING.value
    return tuple(ProfilePod(name=name, uid=uid, reason=starting) for name, uid in pods)
