"""The status of a GenAIProfile: phase, conditions, sums. All fields are always sent: what is not, apply removes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genai_operator.api.genaimodel import ObjectMeta
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.profile_status import Artifact, GenAIProfileStatus, Phase, ProfilePod
from genai_operator.errors import InvalidProfile
from genai_operator.status.conditions import Conditions, Verdict
from genai_operator.status.observed import JobState
from genai_operator.status.profile_observed import Collection, Waiting, WindowReport
from genai_operator.status.profile_plan import ENDED
from genai_operator.status.profile_reasons import ProfileCondition, ProfileReason
from genai_operator.status.profile_totals import overhead_percent, pods_artifact, top_operators

_TOLD_PODS = 3


@dataclass(frozen=True, slots=True)
class ProfileProgress:
    """What is known after a pass: the pods' windows, the finished ones' reports by uid, and the collector, if any."""

    pods: tuple[ProfilePod, ...] = ()
    reports: Mapping[str, WindowReport] | None = None
    waiting: Waiting | None = None
    expired: bool = False
    collection: Collection | None = None

    @property
    def captured(self) -> tuple[ProfilePod, ...]:
        """Pods whose trace is complete."""
        return tuple(pod for pod in self.pods if pod.state == "Complete")

    @property
    def windows_ended(self) -> bool:
        """Whether there are windows, and none is open or to be opened."""
        return bool(self.pods) and all(pod.state in ENDED for pod in self.pods)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Where a profile is, and why."""

    phase: Phase
    reason: ProfileReason
    message: str


def summarise_profile(profile: GenAIProfile, progress: ProfileProgress, now: datetime) -> dict[str, Any]:
    """The status after a pass over a profile whose spec is good."""
    outcome = _outcome(profile, progress)
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    before, pods = profile.status, progress.pods
    started = any(pod.state != "Pending" for pod in pods)
    finished = outcome.phase in ("Complete", "Failed")
    # Summed up once, when the windows have ended: an operator that starts again later does not have the reports.
    summed = before.phase == "Collecting"
    reports = progress.reports or {}
    conditions = Conditions(profile.raw_status, profile.metadata.generation, at)
    status = GenAIProfileStatus(
        observed_generation=profile.metadata.generation,
        phase=outcome.phase,
        progress=f"{len(progress.captured)}/{len(pods)}" if pods else None,
        started_at=before.started_at or (at if started else None),
        finished_at=before.finished_at or (at if finished else None),
        conditions=tuple(
            conditions.make(kind, verdict) for kind, verdict in _verdicts(profile, progress, outcome).items()
        ),
        pods=pods,
        captured_runs=sum(pod.runs for pod in pods if pod.state != "Failed"),
        captured_requests=sum(pod.requests for pod in pods if pod.state != "Failed"),
        captured_bytes=sum(pod.bytes for pod in pods if pod.state != "Failed"),
        dropped_runs=sum(pod.dropped_runs for pod in pods),
        overhead_percent=overhead_percent([pod for pod in pods if pod.state != "Failed"]),
        top_operators=before.top_operators if summed else top_operators(pods, reports),
        artifact=_artifact(profile, progress, summed=summed),
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


def summarise_invalid_profile(
    metadata: ObjectMeta, previous: Mapping[str, Any], error: InvalidProfile, now: datetime
) -> dict[str, Any]:
    """The status of a profile that cannot be read: it fails, for its spec cannot change."""
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = Conditions(previous, metadata.generation, at)
    bad = Verdict("False", ProfileReason.INVALID_SPEC, str(error))
    verdicts = dict.fromkeys(ProfileCondition, bad)
    verdicts[ProfileCondition.FAILED] = Verdict("True", ProfileReason.INVALID_SPEC, str(error))
    status = GenAIProfileStatus(
        observed_generation=metadata.generation,
        phase="Failed",
        finished_at=str(previous.get("finishedAt") or at),
        conditions=tuple(conditions.make(kind, verdict) for kind, verdict in verdicts.items()),
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


def _outcome(profile: GenAIProfile, progress: ProfileProgress) -> _Outcome:
    waiting = progress.waiting
    if waiting is not None:
        if waiting.final or progress.expired:
            over = "" if waiting.final else "; startDeadlineSeconds is over"
            return _Outcome("Failed", waiting.reason, f"{waiting.message}{over}")
        return _Outcome("Pending", waiting.reason, waiting.message)
    if not progress.windows_ended:
        return _running(progress)
    if not progress.captured:
        reasons = {pod.reason for pod in progress.pods}
        reason = _reason(reasons.pop()) if len(reasons) == 1 else ProfileReason.NOTHING_CAPTURED
        return _Outcome("Failed", reason, _losses(progress.pods))
    if profile.spec.output.type == "Pod":
        return _Outcome("Complete", ProfileReason.KEPT_IN_PODS, _captured(progress))
    return _collecting(progress)


def _running(progress: ProfileProgress) -> _Outcome:
    waits = [pod for pod in progress.pods if pod.state == "Pending"]
    if len(waits) == len(progress.pods):
        first = waits[0]
        return _Outcome("Pending", _reason(first.reason), f"pod {first.name}: {first.message}".rstrip(": "))
    is_open = sum(pod.state in ("Open", "Merging") for pod in progress.pods)
    told = f"{is_open} of {len(progress.pods)} windows are open or being merged"
    if waits:
        told += f"; pod {waits[0].name} waits: {waits[0].message}"
    return _Outcome("Running", ProfileReason.CAPTURING, told)


def _reason(text: str) -> ProfileReason:
    """A pod's reason; another version of the operator may have written it."""
    return ProfileReason(text) if text in ProfileReason._value2member_map_ else ProfileReason.NOTHING_CAPTURED


def _collecting(progress: ProfileProgress) -> _Outcome:
    collection = progress.collection or Collection(JobState.RUNNING, "the collector is being made")
    if collection.state is JobState.COMPLETE:
        told = "; ".join(filter(None, (_captured(progress), collection.location, collection.message)))
        return _Outcome("Complete", ProfileReason.COLLECTED, told)
    if collection.state is JobState.FAILED:
        said = f"the traces stay in the pods: {collection.message}"
        return _Outcome("Failed", ProfileReason.COLLECTOR_FAILED, said)
    return _Outcome("Collecting", ProfileReason.COLLECTING, collection.message)


def _captured(progress: ProfileProgress) -> str:
    lost = [pod for pod in progress.pods if pod.state == "Failed"]
    told = f"{len(progress.captured)} of {len(progress.pods)} pods captured"
    return f"{told}; {_losses(lost)}" if lost else told


def _losses(pods: Sequence[ProfilePod]) -> str:
    told = [f"pod {pod.name} {pod.reason}: {pod.message}" for pod in pods[:_TOLD_PODS]]
    more = len(pods) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _artifact(profile: GenAIProfile, progress: ProfileProgress, *, summed: bool) -> Artifact | None:
    collection = progress.collection
    if collection is not None and collection.state is JobState.COMPLETE:
        return Artifact(type=profile.spec.output.type, location=collection.location, bytes=collection.bytes)
    if not progress.windows_ended:
        return None
    return profile.status.artifact if summed else pods_artifact(progress.pods, progress.reports or {})


def _verdicts(profile: GenAIProfile, progress: ProfileProgress, outcome: _Outcome) -> dict[ProfileCondition, Verdict]:
    def follows(phase: Phase) -> Verdict:
        return Verdict("True" if outcome.phase == phase else "False", outcome.reason, outcome.message)

    waits = profile.spec.suspend and outcome.phase == "Pending"
    suspended = (
        Verdict("True", ProfileReason.SUSPENDED, "spec.suspend is true")
        if waits
        else Verdict("False", ProfileReason.NOT_SUSPENDED, "")
    )
    return {
        ProfileCondition.ACCEPTED: Verdict("True", ProfileReason.ACCEPTED, "the spec is good"),
        ProfileCondition.SUSPENDED: suspended,
        ProfileCondition.CAPTURED: _captured_verdict(progress, outcome),
        ProfileCondition.COLLECTED: _collected_verdict(profile, progress, outcome),
        ProfileCondition.COMPLETE: follows("Complete"),
        ProfileCondition.FAILED: follows("Failed"),
    }


def _captured_verdict(progress: ProfileProgress, outcome: _Outcome) -> Verdict:
    if progress.windows_ended and progress.captured:
        return Verdict("True", ProfileReason.CAPTURED, _captured(progress))
    return Verdict("False" if outcome.phase == "Failed" else "Unknown", outcome.reason, outcome.message)


def _collected_verdict(profile: GenAIProfile, progress: ProfileProgress, outcome: _Outcome) -> Verdict:
    if outcome.phase == "Complete":
        return Verdict("True", outcome.reason, outcome.message)
    if outcome.phase == "Failed":
        return Verdict("False", outcome.reason, outcome.message)
    if progress.windows_ended:
        return Verdict("Unknown", ProfileReason.COLLECTING, outcome.message)
    kept = profile.spec.output.type == "Pod"
    where = "the traces will stay in the pods" if kept else "they are collected when the windows have ended"
    return Verdict("Unknown", outcome.reason, where)
