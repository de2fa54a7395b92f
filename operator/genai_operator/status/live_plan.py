"""Which live pods need the desired runtime options. Pushing them is `services.live_options`'s work."""

from dataclasses import dataclass

from genai_operator.api.runtime_options import DesiredOptions
from genai_operator.status.observed import ObservedModel, ObservedPod, PodOptionsState

# Answers that do not change by asking the same container again.
_FINAL = (PodOptionsState.APPLIED, PodOptionsState.UNSUPPORTED, PodOptionsState.REJECTED)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """The pods of a model, sorted by what is to be done with them; pods that are being deleted are in none."""

    push: tuple[ObservedPod, ...] = ()
    up_to_date: tuple[ObservedPod, ...] = ()
    waiting: tuple[ObservedPod, ...] = ()  # no running container yet


def plan_live_options(desired: DesiredOptions, observed: ObservedModel) -> LivePlan:
    """Every container that has not answered for the desired revision gets it. While a value is rejected, none does."""
    push, up_to_date, waiting = [], [], []
    for pod in live_pods(observed):
        if not (pod.running and pod.ip and pod.container_id):
            waiting.append(pod)
        elif answered(pod, desired, observed):
            up_to_date.append(pod)
        elif not desired.rejected:
            push.append(pod)
    return LivePlan(tuple(push), tuple(up_to_date), tuple(waiting))


def live_pods(observed: ObservedModel) -> tuple[ObservedPod, ...]:
    """The pods that count: not being deleted, not ended; by name."""
    pods = (pod for pod in observed.pods if not pod.deleting and pod.phase not in ("Succeeded", "Failed"))
    return tuple(sorted(pods, key=lambda pod: pod.name))


def answered(pod: ObservedPod, desired: DesiredOptions, observed: ObservedModel) -> bool:
    """Whether the pod's present container gave a final answer for the desired revision."""
    answer = observed.answers.get(pod.uid)
    return (
        answer is not None
        and answer.container_id == pod.container_id
        and answer.revision == desired.revision
        and answer.state in _FINAL
    )
