"""What became of the desired runtime options: `status.runtimeOptions` and the condition `RuntimeOptionsApplied`.

Written by the field manager genai-operator-live; every other part of the status is `summary.py`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import DesiredOptions, RuntimeOptions
from genai_operator.api.status_model import MAX_LISTED_PODS, AdapterStatus, PodRuntimeOptions, RuntimeOptionsStatus
from genai_operator.status.conditions import Conditions, Verdict, bounded
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel, ObservedPod, PodAnswer, PodOptionsState
from genai_operator.status.reasons import ConditionType, Reason
from genai_operator.status.retries import WORDS as RETRIES

# The worst state of any pod is told, in this order.
_TROUBLE = (
    (PodOptionsState.REJECTED, Reason.REJECTED),
    (PodOptionsState.UNSUPPORTED, Reason.UNSUPPORTED),
    (PodOptionsState.UNREACHABLE, Reason.UNREACHABLE),
    (PodOptionsState.PENDING, Reason.APPLYING),
)
_NAMED_PODS = 3


def summarise_runtime_options(model: GenAIModel, desired: DesiredOptions, observed: ObservedModel) -> dict[str, Any]:
    """The part of the status that speaks of runtime options."""
    pods = pod_options(model, desired, observed)
    applied = [pod for pod in pods if pod.state == PodOptionsState.APPLIED.value]
    others = [pod for pod in pods if pod.state != PodOptionsState.APPLIED.value]
    told = RuntimeOptionsStatus(
        revision=desired.revision,
        applied=f"{len(applied)}/{len(pods)}",
        requests=_sum(pod.requests for pod in pods),
        cancelled_requests=_sum(pod.cancelled_requests for pod in pods),
        pods=tuple((others + applied)[:MAX_LISTED_PODS]),
    )
    # Annotations have no generation, so the condition speaks of a revision. It also spares an edit of the spec a write.
    conditions = Conditions(model.status, None, observed.now)
    condition = conditions.make(ConditionType.RUNTIME_OPTIONS_APPLIED, _verdict(desired, pods))
    return {
        "runtimeOptions": told.model_dump(by_alias=True, exclude_none=True, mode="json"),
        "conditions": [condition.model_dump(by_alias=True, exclude_none=True, mode="json")],
    }


def pod_options(model: GenAIModel, desired: DesiredOptions, observed: ObservedModel) -> tuple[PodRuntimeOptions, ...]:
    """What became of the desired options on each live pod, by name."""
    told = _told_before(model.status, desired.revision)
    return tuple(_one_pod(pod, desired, observed, told) for pod in live_pods(observed))


def _one_pod(
    pod: ObservedPod, desired: DesiredOptions, observed: ObservedModel, told: Mapping[str, PodRuntimeOptions]
) -> PodRuntimeOptions:
    answer = observed.answers.get(pod.uid)
    if answer is None and pod.name in told:
        # The operator has just started and has not asked this pod yet: what it acknowledged before still stands.
        return told[pod.name]
    pending = PodOptionsState.PENDING.value
    if answer is None or answer.container_id != pod.container_id or not pod.running:
        return PodRuntimeOptions(name=pod.name, state=pending, message="the pod is starting")
    if answer.revision != desired.revision:
        message = "not sent while a value is rejected" if desired.rejected else "being sent"
        return PodRuntimeOptions(name=pod.name, state=pending, message=message)
    if answer.state == PodOptionsState.UNREACHABLE and not pod.ready and answer.served is None:
        return PodRuntimeOptions(name=pod.name, state=pending, message="the pod is starting")
    said = PodRuntimeOptions(
        name=pod.name,
        state=answer.state.value,
        message=bounded(answer.message),
        at=answer.at or None,
        **_counts(answer, desired.options),
        adapters=tuple(
            AdapterStatus(name=each.name, state=each.state, message=bounded(each.message)) for each in answer.adapters
        )
        or None,
    )
    before = told.get(pod.name)
    # An operator that has just started asks again: what the pod acknowledged before, it has had since then.
    same = before is not None and (before.state, before.message) == (said.state, said.message)
    return said.model_copy(update={"at": before.at}) if before is not None and same else said


def _counts(answer: PodAnswer, options: RuntimeOptions) -> dict[str, int | None]:
    """What is counted while a drain or a cancel rule holds on a pod that has it."""
    has = answer.state in (PodOptionsState.APPLIED, PodOptionsState.UNSUPPORTED)
    return {
        "requests": answer.requests if has and options.drain_seconds else None,
        "cancelled_requests": answer.cancelled_requests if has and options.cancel else None,
    }


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def having(model: GenAIModel, desired: DesiredOptions, observed: ObservedModel, option: str) -> tuple[int, int]:
    """(pods that have this option of the desired ones, all pods). `option` is an annotation's name."""
    pods = pod_options(model, desired, observed)
    uids = {pod.name: pod.uid for pod in live_pods(observed)}

    def has(pod: PodRuntimeOptions) -> bool:
        answer = observed.answers.get(uids[pod.name])
        can = answer is None or option not in answer.unsupported
        return can and pod.state in (PodOptionsState.APPLIED.value, PodOptionsState.UNSUPPORTED.value)

    return sum(has(pod) for pod in pods), len(pods)


def _told_before(status: Mapping[str, Any], revision: str) -> dict[str, PodRuntimeOptions]:
    """Pods that the status in the cluster says to have these very options."""
    before = status.get("runtimeOptions")
    if not isinstance(before, Mapping) or before.get("revision") != revision:
        return {}
    applied = (pod for pod in before.get("pods") or () if pod.get("state") == PodOptionsState.APPLIED)
    return {str(pod["name"]): PodRuntimeOptions.model_validate(pod) for pod in applied}


def _verdict(desired: DesiredOptions, pods: Sequence[PodRuntimeOptions]) -> Verdict:
    if desired.rejected:
        said = "; ".join(str(rejected) for rejected in desired.rejected)
        return Verdict("False", Reason.REJECTED, f"{said}. Nothing is sent to pods until this is put right")
    if not pods:
        return Verdict("True", Reason.NO_PODS, "there are no pods; every new one gets the options")
    for state, reason in _TROUBLE:
        found = [pod for pod in pods if pod.state == state.value]
        if found:
            return Verdict("False", *_trouble(reason, found, pods))
    return Verdict("True", Reason.APPLIED, f"all pods have them: {len(pods)}")


def _trouble(
    reason: Reason, found: Sequence[PodRuntimeOptions], pods: Sequence[PodRuntimeOptions]
) -> tuple[Reason, str]:
    """What is wrong with these pods, and in words."""
    named = ", ".join(pod.name for pod in found[:_NAMED_PODS])
    more = len(found) - _NAMED_PODS
    who = f"{'pods' if len(found) > 1 else 'pod'} {named}{f' and {more} more' if more > 0 else ''}"
    said = f"{who}: {found[0].message}"
    if reason is not Reason.UNREACHABLE:
        return reason, said
    said = f"{said}; {RETRIES}"
    have = sum(pod.state == PodOptionsState.APPLIED.value for pod in pods)
    if not have:
        return reason, said
    return Reason.PARTIALLY_APPLIED, f"{have} of {len(pods)} pods have them; not reached: {said}"
