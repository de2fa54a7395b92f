"""The status of a model, but for its runtime options: every field of the field manager genai-operator.

All fields are always sent: what server-side apply does not get, it removes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genai_operator.api.built import known_build, with_built
from genai_operator.api.genaimodel import GenAIModel, ObjectMeta
from genai_operator.api.names import grpc_endpoint, http_endpoint, selector
from genai_operator.api.recommendation import known_recommendation
from genai_operator.api.status_model import Endpoints, GenAIModelStatus
from genai_operator.errors import InvalidModel
from genai_operator.status.building import build_status, build_verdict, in_the_way
from genai_operator.status.causes import CRASHES, Cause, first_cause, refusal_reason
from genai_operator.status.conditions import Conditions, Truth, Verdict, previous_condition
from genai_operator.status.effective import effective, performance
from genai_operator.status.flight_recorder import flight_recording
from genai_operator.status.live_plan import live_pods
from genai_operator.status.model_state import complete, model_state, named_source, under_way
from genai_operator.status.observed import ObservedModel
from genai_operator.status.out_of_service import out_of_service
from genai_operator.status.placement import fallen_back, placement
from genai_operator.status.provider import accepted, replaced_provider
from genai_operator.status.reasons import MODEL_FAULTS, ConditionType, Reason
from genai_operator.status.rollout_gate import blocked
from genai_operator.status.tuning import recommended


def summarise(model: GenAIModel, observed: ObservedModel) -> dict[str, Any]:
    """The status of a model whose spec is good."""
    # A paused model's spec was seen and not acted on.
    paused_at = int(model.status.get("observedGeneration") or 0)
    generation = paused_at if observed.paused else model.metadata.generation
    conditions = Conditions(model.status, generation, observed.now)
    name = model.metadata.name
    build = build_status(model, observed)
    built = build_verdict(model, build)
    asked, model = model, with_built(model)  # what pods are told of is what they are judged by
    verdicts = _verdicts(model, observed, built)
    status = GenAIModelStatus(
        observed_generation=generation,
        replicas=observed.deployment.replicas if observed.deployment else 0,
        ready_replicas=_ready_pods(observed),
        selector=selector(name),
        endpoints=_endpoints(model),
        model=model_state(observed),
        effective=effective(model, observed),
        performance=performance(model, observed),
        placement=placement(model, observed) or None,
        flight_recorder=flight_recording(model, observed),
        recommended=recommended(asked, observed),
        build=build,
        conditions=tuple(conditions.make(kind, verdict) for kind, verdict in verdicts.items()),
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


def _endpoints(model: GenAIModel) -> Endpoints:
    name, namespace, server = model.metadata.name, model.metadata.namespace, model.spec.server
    http = http_endpoint(name, namespace, secured=server.tls is not None) if server.protocols.http else None
    return Endpoints(grpc=grpc_endpoint(name, namespace), http=http)


def summarise_invalid(
    metadata: ObjectMeta, previous: Mapping[str, Any], error: InvalidModel, observed: ObservedModel
) -> dict[str, Any]:
    """The status of a model that cannot be made; its pods, if it has any, go on as they are."""
    conditions = Conditions(previous, metadata.generation, observed.now)
    reason = Reason(error.reason)
    verdict = Verdict("False", reason, str(error))
    unknown = Verdict("Unknown", reason, str(error))
    verdicts = dict.fromkeys(_SUMMARISED, unknown)
    verdicts |= dict.fromkeys((ConditionType.ACCEPTED, ConditionType.READY, ConditionType.PROGRESSING), verdict)
    verdicts[ConditionType.DEGRADED] = Verdict("True", reason, str(error))
    if previous_condition(previous, ConditionType.MODEL_BUILT):
        verdicts[ConditionType.MODEL_BUILT] = unknown
    status = GenAIModelStatus(
        observed_generation=metadata.generation,
        replicas=observed.deployment.replicas if observed.deployment else 0,
        ready_replicas=_ready_pods(observed),
        selector=selector(metadata.name)[:512],
        recommended=known_recommendation(previous),
        build=known_build(previous),
        conditions=tuple(conditions.make(kind, said) for kind, said in verdicts.items()),
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


# Of a model that was built: it is in the cache or nowhere.
_LOST = (Reason.MODEL_NOT_FOUND, Reason.CHECKSUM_MISMATCH)
_BUILD_AGAIN = "to have it built again, set another spec.model.build.request"
_SUMMARISED = (
    ConditionType.ACCEPTED,
    ConditionType.MODEL_AVAILABLE,
    ConditionType.WORKLOAD_AVAILABLE,
    ConditionType.READY,
    ConditionType.PROGRESSING,
    ConditionType.DEGRADED,
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What every verdict follows from."""

    model: GenAIModel
    observed: ObservedModel
    cause: Cause | None
    ready: int  # pods
    stopped: Verdict | None  # by live options
    built: Verdict | None  # ModelBuilt; None: nothing is to be built

    @property
    def wanted(self) -> int:
        return self.model.spec.wanted_replicas

    @property
    def unbuilt(self) -> Verdict | None:
        """Why there are no pods yet; None where there is something to serve."""
        waits = self.model.spec.model.build is not None and self.observed.deployment is None
        return self.built if waits and self.built and self.built.status != "True" else None

    @property
    def draining(self) -> Verdict | None:
        """Pods that drain are not ready, and are well."""
        return self.stopped if self.stopped and self.stopped.reason is Reason.DRAINING else None


def _verdicts(model: GenAIModel, observed: ObservedModel, built: Verdict | None) -> dict[ConditionType, Verdict]:
    cause = first_cause(live_pods(observed), observed.deployment)
    if cause:
        said = named_source(model, observed, cause)
        lost = built is not None and cause.reason in _LOST
        cause = replace(cause, message=f"{said}; {_BUILD_AGAIN}" if lost else said)
    seen = _Seen(model, observed, cause, _ready_pods(observed), out_of_service(model, observed), built)
    every = (_accepted, _model_available, _workload_available, _ready, _progressing, _degraded)
    found = {kind: decide(seen) for kind, decide in zip(_SUMMARISED, every, strict=True)}
    return found if built is None else {**found, ConditionType.MODEL_BUILT: built}


def _ready_pods(observed: ObservedModel) -> int:
    return sum(pod.ready for pod in live_pods(observed))


def _refused(seen: _Seen) -> Verdict | None:
    """Why the model cannot have its children."""
    if seen.observed.conflict:
        return Verdict("False", Reason.NAME_CONFLICT, seen.observed.conflict)
    if seen.observed.refusal:
        return Verdict("False", refusal_reason(seen.observed.refusal), seen.observed.refusal)
    return None


def _accepted(seen: _Seen) -> Verdict:
    return _refused(seen) or Verdict("True", Reason.ACCEPTED, accepted(seen.model.spec))


def _model_available(seen: _Seen) -> Verdict:
    if seen.cause and seen.cause.reason in MODEL_FAULTS:
        return Verdict("False", seen.cause.reason, seen.cause.message)
    known = previous_condition(seen.model.status, ConditionType.MODEL_AVAILABLE).get("status") == "True"
    if seen.ready or (seen.draining and known):
        return Verdict("True", Reason.AVAILABLE, f"{seen.model.spec.model.uri} is loaded")
    idle = _not_wanted(seen, "Unknown")
    if idle:
        return idle
    if seen.unbuilt:
        return Verdict("Unknown", seen.unbuilt.reason, seen.unbuilt.message)
    if fetching := under_way(seen.observed):
        return Verdict("Unknown", Reason.FETCHING, fetching)
    if there := complete(seen.model, seen.observed):
        return Verdict("Unknown", Reason.FETCHED, there)
    return Verdict("Unknown", Reason.PENDING, "no pod has loaded it yet")


def _workload_available(seen: _Seen) -> Verdict:
    idle = _not_wanted(seen, "False")
    if idle:
        return idle
    if seen.ready >= seen.wanted:
        return Verdict("True", Reason.AVAILABLE, f"{seen.ready} of {seen.wanted} pods are ready")
    return _blocked(seen) or seen.draining or _starting(seen)


def _ready(seen: _Seen) -> Verdict:
    refused = _refused(seen)
    if refused and refused.reason is Reason.AUTOSCALER_UNAVAILABLE:
        refused = None  # its pods serve without one
    stopped = refused or _not_wanted(seen, "False")
    if stopped:
        return stopped
    crashing = seen.cause is not None and seen.cause.reason in CRASHES
    if crashing or not seen.ready:
        return _blocked(seen) or seen.draining or _starting(seen)
    return seen.stopped or Verdict("True", Reason.SERVING, f"{seen.ready} of {seen.wanted} pods serve")


def _progressing(seen: _Seen) -> Verdict:
    if seen.observed.paused:
        return Verdict("False", Reason.PAUSED, "changes wait until the annotation pause-reconciliation is removed")
    blocked = _blocked(seen) or in_the_way(seen.built)
    if blocked:
        return blocked
    if seen.built and seen.built.status != "True":
        if seen.model.spec.suspend:
            return Verdict("False", Reason.COMPLETE, "spec.suspend is true: nothing is built now")
        return Verdict("True", seen.built.reason, seen.built.message)
    deployment = seen.observed.deployment
    if deployment is None:
        return Verdict("True", Reason.PENDING, "the Deployment is being made")
    behind = deployment.observed_generation < deployment.generation
    if behind or deployment.updated_replicas < seen.wanted or deployment.replicas != seen.wanted:
        said = f"{deployment.updated_replicas} of {seen.wanted} pods are up to date"
        return Verdict("True", Reason.ROLLING_OUT, f"{said}; {seen.observed.gate}" if seen.observed.gate else said)
    if seen.ready < seen.wanted and not seen.draining:
        starting = _starting(seen)
        return Verdict("True", starting.reason, starting.message)
    return Verdict("False", Reason.COMPLETE, "the cluster is as the spec says")


def _degraded(seen: _Seen) -> Verdict:
    blocked = _blocked(seen) or in_the_way(seen.built)
    if blocked:
        return Verdict("True", blocked.reason, blocked.message)
    replaced = replaced_provider(seen.model, seen.observed)
    if replaced:
        return Verdict("True", Reason.EXECUTION_PROVIDER_UNAVAILABLE, replaced)
    degraded = fallen_back(seen.model, placement(seen.model, seen.observed))
    if degraded:
        return Verdict("True", Reason.PROVIDER_DEGRADED, degraded)
    return Verdict("False", Reason.HEALTHY, "nothing is known to be wrong")


def _not_wanted(seen: _Seen, status: Truth) -> Verdict | None:
    if seen.model.spec.suspend:
        return Verdict(status, Reason.SUSPENDED, "spec.suspend is true: no pods are wanted")
    if seen.wanted == 0:
        return Verdict(status, Reason.SCALED_TO_ZERO, "spec.replicas is 0: no pods are wanted")
    return None


def _blocked(seen: _Seen) -> Verdict | None:
    """What somebody has to put right."""
    refused = _refused(seen)
    if refused is None and seen.cause:
        return Verdict("False", seen.cause.reason, seen.cause.message)
    slower = blocked(seen.model, seen.observed) if refused is None else ""
    return Verdict("False", Reason.ROLLOUT_BLOCKED, slower) if slower else refused


def _starting(seen: _Seen) -> Verdict:
    running = sum(pod.running for pod in live_pods(seen.observed))
    ready = f"{seen.ready} of {seen.wanted} pods are ready"
    if seen.unbuilt:
        return Verdict("False", seen.unbuilt.reason, seen.unbuilt.message)
    if running > seen.ready:
        return Verdict("False", Reason.LOADING, f"{ready}; {running} run and load the model")
    if fetching := under_way(seen.observed):
        return Verdict("False", Reason.FETCHING, f"{ready}; {fetching}")
    return Verdict("False", Reason.PENDING, f"{ready}; the others are being made")
