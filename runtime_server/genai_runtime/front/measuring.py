"""How fast this pod generates from given prompts, each alone: what a roll-out compares old and new pods by.

The prompts take the ordinary way of every request, ahead of the queue, but past the prefix cache: else a repeat's first
token would be that of a prompt that is known. Who compares, and with what, is the operator's.
"""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from genai_runtime.errors import EngineFailure, InvalidRequest, NotServing
from genai_runtime.front.generating import Ending, GenerationService
from genai_runtime.front.option_checks import MOST_PRIORITY
from genai_runtime.front.ports import Profiles
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.runtime_options import ENABLE_PROFILING
from genai_runtime.front.validation import Call, Options
from genai_runtime.generation import FinishReason
from genai_runtime.profiling.summary import OperatorTime

MOST_PROMPTS, MOST_TOKENS, MOST_REPEATS = 16, 512, 10
CLIENT = "measurement"
_MOST_TIMED_RUNS = 256
_RETRY_SECONDS = 5.0
_log = structlog.get_logger("genai_runtime.measuring")


@dataclass(frozen=True, slots=True)
class Measurement:
    """Medians over prompts and repeats; the first token's time lacks the wait in the queue."""

    tokens_per_second: float
    first_token_seconds: float
    operators: tuple[OperatorTime, ...]  # of one repeat more, the costliest first; empty where the engine cannot tell


class Measuring:
    """One measurement at a time; others wait for it."""

    def __init__(self, service: GenerationService, profiles: Profiles) -> None:
        self._service = service
        self._profiles = profiles
        self._turn = asyncio.Lock()

    async def measure(self, prompts: Sequence[str], max_tokens: int, repeats: int) -> Measurement:
        """Generate from each prompt `repeats` times, and once more before that with the operators timed.

        Raises `InvalidRequest` for what is out of bounds, `NotServing` while the pod is halted or draining, while a
        profiling window is open (it would be measured, too), or when a generation was ended early.
        """
        _check(prompts, max_tokens, repeats)
        async with self._turn:
            operators = await self._operators(prompts, max_tokens)
            records = [await self._generate(prompt, max_tokens) for _ in range(repeats) for prompt in prompts]
        speeds = [record.tokens_per_second for record in records if record.tokens_per_second]
        if not speeds:
            raise InvalidRequest("prompts", "no prompt made more than one token, so no speed can be told; use others")
        first = statistics.median(record.first_token_seconds - record.queue_seconds for record in records)
        return Measurement(statistics.median(speeds), first, operators)

    async def _operators(self, prompts: Sequence[str], max_tokens: int) -> tuple[OperatorTime, ...]:
        """First, because it is refused while a window is open; and the repeats after it are warm."""
        if ENABLE_PROFILING in self._service.served_model().info.unsupported_options:
            return ()

        async def work() -> None:
            for prompt in prompts:
                await self._generate(prompt, max_tokens)

        try:
            return await self._profiles.operators(work, _MOST_TIMED_RUNS, CLIENT)
        except EngineFailure as error:
            _log.warning("operators could not be timed", reason=error.message)
            return ()

    async def _generate(self, prompt: str, max_tokens: int) -> RequestRecord:
        model = self._service.served_model()
        known, max_tokens = "ignore_eos" in model.info.features, model.limits.at_most(max_tokens)
        options = Options(max_tokens=max_tokens, temperature=0.0, ignore_eos=known, priority=MOST_PRIORITY)
        record: RequestRecord | None = None
        call = Call(text=prompt, options=options, client=CLIENT, fresh=True)
        async for event in self._service.stream("measure", call):
            if isinstance(event, Ending):
                if event.reason not in (FinishReason.STOP, FinishReason.LENGTH):
                    said = event.message or event.reason.value
                    raise NotServing(f"a generation that was measured ended early: {said}", _RETRY_SECONDS)
                record = event.record
        if record is None:
            raise EngineFailure("a generation that was measured had no end")
        return record


def _check(prompts: Sequence[str], max_tokens: int, repeats: int) -> None:
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise InvalidRequest("prompts", f"must be 1 to {MOST_PROMPTS}, not {len(prompts)}")
    if not 2 <= max_tokens <= MOST_TOKENS:
        raise InvalidRequest("max_tokens", f"must be 2 to {MOST_TOKENS}, not {max_tokens}")
    if not 1 <= repeats <= MOST_REPEATS:
        raise InvalidRequest("repeats", f"must be 1 to {MOST_REPEATS}, not {repeats}")
