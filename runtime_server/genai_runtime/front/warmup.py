"""Generates a few tokens before the server says that it is ready: the first client does not pay for the first run,
and what was measured is shown by GetModel, with where the operators ran. Never decides readiness itself.
"""

import asyncio
import itertools
import statistics
from dataclasses import dataclass, replace

import structlog

from genai_runtime.errors import EngineFailure, RuntimeServerError
from genai_runtime.front.generating import Ending, GenerationService
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.placement import ProviderShare, placement
from genai_runtime.front.ports import Profiles
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.runtime_options import ENABLE_PROFILING
from genai_runtime.front.validation import Call, Options
from genai_runtime.generation import FinishReason
from genai_runtime.profiling.summary import OperatorTime

# Of the prompt whose operators are timed: long enough to be prefilled, and no prompt that was kept before.
_TIMED_PROMPT, _TIMED_TOKENS = 33, 2
_TIMED_SECONDS = 30.0
_MOST_TIMED_RUNS = 16
_log = structlog.get_logger("genai_runtime.warmup")


@dataclass(frozen=True, slots=True)
class WarmupResult:
    """Medians over the prompts; 0 where nothing was measured."""

    tokens_per_second: float = 0.0
    first_token_seconds: float = 0.0
    placement: tuple[ProviderShare, ...] = ()
    operators: tuple[OperatorTime, ...] = ()  # of the profiled runs that the placement is of


async def warm_up(service: GenerationService, metrics: Metrics, prompts: list[str], max_tokens: int) -> WarmupResult:
    """Generate from each prompt; one that cannot be used is logged and left out.

    Raises `EngineFailure` when the engine cannot generate at all.
    """
    records: list[RequestRecord] = []
    for index, prompt in enumerate(prompts):
        model = service.served_model()
        call = Call(text=prompt, options=Options(max_tokens=model.limits.at_most(max_tokens)))
        try:
            request = await model.prepare(call, f"warmup-{index}")
        except RuntimeServerError as error:
            _log.warning("warm-up prompt cannot be used", index=index, reason=error.message)
            continue
        record = RequestRecord("warmup", metrics, request.request_id, len(request.prompt))
        async for event in service.run(request, record):
            if isinstance(event, Ending) and event.reason is FinishReason.ERROR:
                raise EngineFailure(f"the warm-up failed: {event.message}")
        records.append(record)
    return WarmupResult(
        _median([record.tokens_per_second for record in records]),
        _median([record.first_token_seconds for record in records]),
    )


async def timed(service: GenerationService, metrics: Metrics, profiles: Profiles, warmup: WarmupResult) -> WarmupResult:
    """`warmup` with the placement that one profiled prompt and its decode show.

    Never fails: a server that cannot say where its operators run serves all the same.
    """
    if ENABLE_PROFILING in service.served_model().info.unsupported_options:
        return warmup

    async def work() -> None:
        limit = max(1, service.served_model().info.max_sequence_length - _TIMED_TOKENS)
        ids = await service.tokenize("Where does the time go?", add_special_tokens=False)
        prompt = list(itertools.islice(itertools.cycle(ids), min(_TIMED_PROMPT, limit)))
        model = service.served_model()
        call = Call(ids=prompt, options=Options(max_tokens=model.limits.at_most(_TIMED_TOKENS)))
        request = await model.prepare(call, "warmup-timed")
        async for _ in service.run(request, RequestRecord("warmup", metrics, request.request_id, len(prompt))):
            pass

    try:
        async with asyncio.timeout(_TIMED_SECONDS):
            operators = await profiles.operators(work, _MOST_TIMED_RUNS)
    except (RuntimeServerError, TimeoutError) as error:
        _log.warning("placement is not known: operators could not be timed", reason=str(error) or "it took too long")
        return warmup
    return replace(warmup, placement=placement(operators), operators=operators)


def _median(values: list[float]) -> float:
    measured = [value for value in values if value]
    return statistics.median(measured) if measured else 0.0
