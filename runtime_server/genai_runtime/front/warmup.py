"""Generates a few tokens before the server says that it is ready: the first client does not pay for the first run,
and what was measured is shown by GetModel. Never decides readiness itself.
"""

import statistics
from dataclasses import dataclass

import structlog

from genai_runtime.errors import EngineFailure, RuntimeServerError
from genai_runtime.front.generating import Ending, GenerationService
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.validation import Call, Options
from genai_runtime.generation import FinishReason

_log = structlog.get_logger("genai_runtime.warmup")


@dataclass(frozen=True, slots=True)
class WarmupResult:
    """Medians over the prompts; 0 where nothing was measured."""

    tokens_per_second: float = 0.0
    first_token_seconds: float = 0.0


async def warm_up(service: GenerationService, metrics: Metrics, prompts: list[str], max_tokens: int) -> WarmupResult:
    """Generate from each prompt. A halt ends it early; a prompt that cannot be used is logged and left out.

    Raises `EngineFailure` when the engine cannot generate at all.
    """
    records: list[RequestRecord] = []
    for index, prompt in enumerate(prompts):
        call = Call(text=prompt, options=Options(max_tokens=max_tokens))
        try:
            request = await service.served_model().prepare(call, f"warmup-{index}")
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


def _median(values: list[float]) -> float:
    measured = [value for value in values if value]
    return statistics.median(measured) if measured else 0.0
