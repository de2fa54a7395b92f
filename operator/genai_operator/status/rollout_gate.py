"""Whether a new pod may take traffic: which pods are compared, what a comparison means, what a blocked roll-out says.

Pure. A pod's verdict is its condition `genai-operator.io/measured`, so it outlives the operator and the pod's restarts;
measuring and writing it is `services.rollout_gate`'s work.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.rollout_spec import Gate
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel, ObservedPod

MEASURED, NOTHING_TO_COMPARE, REGRESSED = "Measured", "NothingToCompare", "Regressed"
# Ends the message of a verdict: a verdict of another gate does not count against a pod.
_BY_GATE = "; gate "
# What a first token may come later before it counts: the clocks and queues of a busy node make this much by themselves.
_FIRST_TOKEN_NOISE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pod's ControlService.Measure said. `operators`: (op type, provider, microseconds a run)."""

    tokens_per_second: float
    first_token_seconds: float
    operators: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PodVerdict:
    """What a pod's condition shall say; `passed` lets it take traffic."""

    passed: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class GatePlan:
    """Pods that may take traffic at once, and the next two to compare: an old one that serves, and a new one."""

    let_through: tuple[ObservedPod, ...] = ()
    compare: tuple[ObservedPod, ObservedPod] | None = None

    @property
    def pods(self) -> tuple[ObservedPod, ...]:
        """All that it is about."""
        return (*self.let_through, *(self.compare or ()))


def gate_id(gate: Gate) -> str:
    """Names what a verdict was reached by."""
    return blake2b(gate.model_dump_json().encode(), digest_size=4).hexdigest()


def plan_gate(model: GenAIModel, observed: ObservedModel) -> GatePlan:
    """What is to be done for pods that have loaded the model and wait for their verdict; by name, one comparison."""
    gate, pods = model.spec.rollout.gate, live_pods(observed)
    through, compare = [], None
    for pod in pods:
        if not pod.gated or not pod.containers_ready or pod.measured == "True" or _stands(pod, gate):
            continue
        old = _baseline(pod, pods)
        if gate is None or old is None:
            through.append(pod)
        elif compare is None:
            compare = (old, pod)
    return GatePlan(tuple(through), compare)


def blocked(model: GenAIModel, observed: ObservedModel) -> str:
    """Why a new pod gets no traffic, with the remedy; empty when none is held back for its speed."""
    gate = model.spec.rollout.gate
    found = [pod for pod in live_pods(observed) if pod.gated and _stands(pod, gate)]
    if not found:
        return ""
    said = found[0].measured_message.rpartition(_BY_GATE)[0]
    return (
        f"{said}: pod {found[0].name} takes no traffic and the old pods go on. Change the spec back or to something "
        "faster, or raise rollout.gate.maxRegressionPercent, or remove rollout.gate"
    )


def no_comparison(gate: Gate | None) -> PodVerdict:
    """The verdict of a pod that there is no old one for."""
    return PodVerdict(True, NOTHING_TO_COMPARE, f"there is no older pod to compare with{_by(gate)}")


def judge(gate: Gate, old: Measured, new: Measured) -> PodVerdict:
    """The verdict of a new pod, by the worse of two: tokens a second, and how soon the first one comes.

    The operator that grew most is named.
    """
    first = _first_token_loss(old, new)
    loss = max(_loss(old.tokens_per_second, new.tokens_per_second), first)
    speeds = f"old {old.tokens_per_second:.0f} tok/s, new {new.tokens_per_second:.0f} tok/s"
    if first:
        speeds += f"; first token {1000 * old.first_token_seconds:.0f} to {1000 * new.first_token_seconds:.0f} ms"
    if loss <= gate.max_regression_percent:
        return PodVerdict(True, MEASURED, f"{speeds}{_by(gate)}")
    grown = _grown_most(old, new)
    where, times = "", ""
    if grown is not None:
        name, took, takes = grown
        where, times = f" in {name}", f"; {name} {took:.0f} to {takes:.0f} us a run"
    limit = f"the limit is {gate.max_regression_percent}%"
    return PodVerdict(False, REGRESSED, f"regression {loss:.0f}%{where} ({speeds}{times}; {limit}){_by(gate)}")


def _loss(before: float, now: float) -> float:
    """How much less that is, in percent."""
    return 100 * (before - now) / before if before else 0.0


def _first_token_loss(old: Measured, new: Measured) -> float:
    """How much slower the first token comes, in percent like a speed: twice the time is 50. Little time is noise."""
    if new.first_token_seconds - old.first_token_seconds < _FIRST_TOKEN_NOISE_SECONDS:
        return 0.0
    return 100 * (1 - old.first_token_seconds / new.first_token_seconds)


def _grown_most(old: Measured, new: Measured) -> tuple[str, float, float] | None:
    """The kind of operator whose time a run grew most, before and after; None where none grew or none is known."""
    before, after = _by_kind(old.operators), _by_kind(new.operators)
    if not before or not after:
        return None
    name = max(after, key=lambda kind: (after[kind] - before.get(kind, 0.0), kind))
    grown = after[name] > before.get(name, 0.0)
    return (name, before.get(name, 0.0), after[name]) if grown else None


def _by_kind(operators: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Microseconds a run of each kind, on all providers together: one that moved to another is still the same kind."""
    found: dict[str, float] = {}
    for op_type, _, microseconds in operators:
        found[op_type] = found.get(op_type, 0.0) + microseconds
    return found


def _baseline(pod: ObservedPod, pods: Iterable[ObservedPod]) -> ObservedPod | None:
    """A ready pod of the oldest template that is older than this pod's own."""
    births: dict[str, str] = {}
    for each in pods:
        births[each.template] = min(births.get(each.template, each.created), each.created)
    older = [each for each in pods if each.ready and births[each.template] < births[pod.template]]
    return min(older, key=lambda each: (births[each.template], each.name), default=None)


def _stands(pod: ObservedPod, gate: Gate | None) -> bool:
    """Whether the present gate has held this pod back."""
    return pod.measured == "False" and gate is not None and pod.measured_message.endswith(_by(gate))


def _by(gate: Gate | None) -> str:
    return f"{_BY_GATE}{gate_id(gate) if gate else 'none'}"
