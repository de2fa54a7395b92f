"""A stated load against one engine process, through the same supervisor as in a server; and what its clients saw.

Prompts are random tokens, so that no cache of prompts helps, and an answer has the length that was asked for. Nothing
of a server is between the clients and the engine process: the front's share is the same for every setting.
"""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Protocol

from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec, ModelInfo
from genai_runtime.errors import InvalidSettings
from genai_runtime.generation import Finished, FinishReason, GenerationRequest
from genai_runtime.tuning.choice import Figure, Figures
from genai_runtime.tuning.plan import Candidate, Load

_WARM_TOKENS = 8
_SILENCE_SECONDS = 60.0  # an engine that hangs under a candidate is ended


@dataclass(frozen=True, slots=True)
class Visit:
    """One start of an engine: what it was, how long the start took, and its figures by number of clients."""

    info: ModelInfo
    start_seconds: float
    figures: Figures


class Measure(Protocol):
    """Starts an engine with a candidate's settings and measures each load for so long."""

    def __call__(self, candidate: Candidate, seconds: float) -> Awaitable[Visit]: ...


@dataclass
class _Meter:
    """Counts what arrives until every client has had a whole answer, and the time is up."""

    seconds: float
    waiting: set[int]  # clients without a whole answer
    clock: Callable[[], float] = monotonic
    began: float = 0.0
    ended: float = 0.0
    tokens: int = 0
    first: list[float] = field(default_factory=list)

    def over(self) -> bool:
        """Whether to stop; the first to ask after the end sets it."""
        if not self.ended and not self.waiting and self.clock() - self.began >= self.seconds:
            self.ended = self.clock()
        return self.ended > 0

    def figure(self, clients: int) -> Figure:
        """Of the whole time."""
        length = self.ended - self.began
        return Figure(clients, self.tokens / length if length > 0 else 0.0, 1000 * median(self.first))


def measure_of(spec: EngineSpec, engine: str, load: Load, folders: Mapping[str, Path] | None = None) -> Measure:
    """Measures candidates, each in an engine process of its own: `spec` with the candidate's settings.

    `folders` are the models' by the candidates' `variant`; without, all are `spec`'s model. It raises what
    `EngineProcess` raises, `ModelUnusable` and `EngineFailure`; and `InvalidSettings` for a load that is longer than
    the model's sequences.
    """

    async def measure(candidate: Candidate, seconds: float) -> Visit:
        return await visit(adapted(spec, candidate, folders or {}), engine, load, seconds)

    return measure


def adapted(spec: EngineSpec, candidate: Candidate, folders: Mapping[str, Path]) -> EngineSpec:
    """`spec` with a candidate's settings and model. Which precision was asked for is the present model's matter."""
    folder = folders.get(candidate.variant, spec.model_dir)
    return dataclasses.replace(
        spec,
        model_dir=folder,
        precision=spec.precision if folder == spec.model_dir else "",
        intra_op_threads=candidate.threads,
        spinning=candidate.spinning,
        max_concurrent=candidate.batch,
        prefill_chunk=candidate.prefill_chunk,
    )


async def visit(
    spec: EngineSpec, engine: str, load: Load, seconds: float, source: random.Random | None = None
) -> Visit:
    """Starts an engine, warms it as a server does, measures each number of clients for `seconds`, ends it."""
    process = EngineProcess(spec, engine, silence_seconds=_SILENCE_SECONDS)
    began = monotonic()
    info = await process.start()
    try:
        check_length(info, load)
        source = source or random.Random()
        await warm(process, info, load, source)
        started = monotonic() - began
        figures = [await drive(process, info, clients, load, seconds, source) for clients in load.clients]
    finally:
        await process.stop()
    return Visit(info, started, tuple(figures))


def check_length(info: ModelInfo, load: Load) -> None:
    """Raises `InvalidSettings` when no answer of the load fits the model's sequences."""
    if load.prompt_tokens + load.new_tokens > info.max_sequence_length:
        raise InvalidSettings(
            f"a prompt of {load.prompt_tokens} and an answer of {load.new_tokens} tokens do not fit the model's "
            f"{info.max_sequence_length}; state a shorter load"
        )


async def warm(process: EngineProcess, info: ModelInfo, load: Load, source: random.Random) -> None:
    """One short answer, which is not counted: the first run of each shape allocates."""
    request = _request("warm", info, Load((1,), load.prompt_tokens, min(_WARM_TOKENS, load.new_tokens)), source)
    stream = process.submit(request)
    while stream.running:
        await stream.next_events()


async def drive(
    process: EngineProcess, info: ModelInfo, clients: int, load: Load, seconds: float, source: random.Random
) -> Figure:
    """`clients` closed loops for `seconds`, or until each has had one whole answer if that takes longer."""
    meter = _Meter(seconds, set(range(clients)))
    meter.began = meter.clock()
    await asyncio.gather(*(_client(process, info, load, number, meter, source) for number in range(clients)))
    return meter.figure(clients)


async def _client(
    process: EngineProcess, info: ModelInfo, load: Load, number: int, meter: _Meter, source: random.Random
) -> None:
    turn = 0
    while not meter.over():
        turn += 1
        await _answer(process, _request(f"tune-{number}-{turn}", info, load, source), number, meter)


async def _answer(process: EngineProcess, request: GenerationRequest, number: int, meter: _Meter) -> None:
    sent = meter.clock()
    stream, first = process.submit(request), True
    while stream.running:
        for event in await stream.next_events():
            if isinstance(event, Finished):
                if event.reason is FinishReason.ERROR:
                    raise InvalidSettings(f"the engine refuses the load: {event.message}")
                meter.waiting.discard(number)
            elif not meter.ended:
                meter.tokens += len(event.ids)
                if first:
                    meter.first.append(meter.clock() - sent)
                    first = False
        if meter.over():
            process.cancel(request.request_id, FinishReason.CANCELLED)


def _request(name: str, info: ModelInfo, load: Load, source: random.Random) -> GenerationRequest:
    prompt = [source.randrange(info.vocabulary_size) for _ in range(load.prompt_tokens)]
    return GenerationRequest(name, prompt, load.new_tokens, ignore_eos="ignore_eos" in info.features)
