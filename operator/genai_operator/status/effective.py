"""What the pods say they serve: `status.effective` and `status.performance`. No conditions; see `placement.py` too."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.status_model import Effective, EffectiveThreads, Performance
from genai_operator.status.conditions import bounded
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel, ServedModel

_Part = TypeVar("_Part", bound=BaseModel)


def effective(model: GenAIModel, observed: ObservedModel) -> Effective | None:
    """What was chosen, as the newest pod reports it."""
    image = (observed.deployment.image if observed.deployment else "") or None
    served = reports(observed)
    if not served:
        before = _before(model.status, "effective", Effective) if live_pods(observed) else None
        known = before.model_copy(update={"image": image}) if before else Effective(image=image)
        return known if known.model_dump(exclude_none=True) else None
    newest = served[-1]
    return Effective(
        provider=newest.provider,
        precision=newest.precision or None,
        engine=newest.engine,
        engine_reason=bounded(newest.engine_reason),
        threads=_threads(newest),
        max_sequence_length=newest.max_sequence_length,
        max_batch_size=newest.max_batch_size,
        prefill_chunk=newest.prefill_chunk or None,
        kv_tokens=newest.kv_tokens or None,
        adapters=_loaded_adapters(observed) or None,
        prefix_caching=newest.prefix_caching,
        image=image,
    )


def _loaded_adapters(observed: ObservedModel) -> tuple[str, ...]:
    """Those that requests may name on any pod."""
    answered = (each for answer in observed.answers.values() for each in answer.adapters)
    return tuple(sorted({each.name for each in answered if each.state == "Loaded"}))


def _threads(served: ServedModel) -> EffectiveThreads:
    return EffectiveThreads(
        intra_op=served.intra_op_threads,
        inter_op=served.inter_op_threads or None,
        spinning="enabled" if served.spinning else "disabled",
        affinity=served.thread_cpus or None,
    )


def performance(model: GenAIModel, observed: ObservedModel) -> Performance | None:
    """The mean of what the pods' warm-ups measured."""
    served = reports(observed)
    if not served:
        return _before(model.status, "performance", Performance) if live_pods(observed) else None
    rates = [report.tokens_per_second for report in served if report.tokens_per_second > 0]
    first = [report.time_to_first_token_seconds for report in served if report.time_to_first_token_seconds > 0]
    if not rates and not first:
        return None
    return Performance(
        tokens_per_second=round(sum(rates) / len(rates), 1) if rates else None,
        time_to_first_token_ms=round(1000 * sum(first) / len(first), 1) if first else None,
    )


def reports(observed: ObservedModel) -> list[ServedModel]:
    """What all Ready pods report, the newest last. Empty until every one has: a partial answer would flicker."""
    ready = sorted((pod for pod in live_pods(observed) if pod.ready), key=lambda pod: (pod.created, pod.name))
    found = []
    for pod in ready:
        answer = observed.answers.get(pod.uid)
        if answer is None or answer.served is None or answer.container_id != pod.container_id:
            return []
        found.append(answer.served)
    return found


def listed_before(status: Mapping[str, Any], name: str, kind: type[_Part]) -> tuple[_Part, ...]:
    """A list of the status in the cluster; empty when it is not there or another version wrote it."""
    try:
        return tuple(kind.model_validate(each) for each in status.get(name) or ())
    except ValidationError:
        return ()


def _before(status: Mapping[str, Any], name: str, kind: type[_Part]) -> _Part | None:
    """A part of the status in the cluster; None when it is not there or another version wrote it."""
    try:
        return kind.model_validate(status[name]) if status.get(name) else None
    except ValidationError:
        return None
