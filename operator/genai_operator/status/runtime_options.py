"""What became of the desired runtime options: `status.runtimeOptions` and the condition `RuntimeOptionsApplied`.

Written by the field manager genai-operator-live; every other part of the status is `summary.py`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import DesiredOptions
from genai_operator.api.status_model import MAX_LISTED_PODS, PodRuntimeOptions, RuntimeOptionsStatus
from genai_operator.status.conditions import Conditions, Verdict, bounded
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel, ObservedPod, PodOptionsState
from genai_operator.status.reasons import ConditionType, Reason

# The worst state of any pod is told, in this order.
_TROUBLE = (
    (PodOptionsState.REJECTED, Reason.REJECTED),
    (PodOptionsState.UNSUPPORTED, Reason.UNSUPPORTED),
    (PodOptionsState.UNREACHABLE, Reason.UNREACHABLE),
    (PodOptionsState.PENDING, Reason.APPLYING),
)


def summarise_runtime_options(model: GenAIModel, desired: DesiredOptions, observed: ObservedModel) -> dict[str, Any]:
    """The part of the status that speaks of runtime options."""
    pods = pod_options(model, desired, observed)
    applied = [pod for pod in pods if pod.state == PodOptionsState.APPLIED.value]
    others = [pod for pod in pods if pod.state != PodOptionsState.APPLIED.value]
    told = RuntimeOptionsStatus(
        revision=desired.revision,
        applied=f"{len(applied)}/{len(pods)}",
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
    if answer.state == PodOptionsState.UNREACHABLE and not pod.ready:
        return PodRuntimeOptions(name=pod.name, state=pending, message="the pod is starting")
    said = PodRuntimeOptions(
        name=pod.name, state=answer.state.value, message=bounded(answer.message), at=answer.at or None
    )
    before = told.get(pod.name)
    # An operator that has just started asks again: what the pod acknowledged before, it has had since then.
    same = before is not None and (before.state, before.message) == (said.state, said.message)
    return before if before is not None and same else said


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
            others = f" and {len(found) - 1} more" if len(found) > 1 else ""
            return Verdict("False", reason, f"pod {found[0].name}{others}: {found[0].message}")
    return Verdict("True", Reason.APPLIED, f"all pods have them: {len(pods)}")
