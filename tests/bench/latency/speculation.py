"""Guessed tokens on against off, in one engine process each: answers that repeat themselves, and answers that look so.

What comes is decided by a grammar of token ids and not by the model, whose weights are random: records of the same form
with a value that differs, which can be guessed but for that; and eight tokens drawn by chance, of which the same three
come again and again with something else behind them.
"""

import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import FinishReason, GenerationRequest, Guidance, Sampling, Tokens

_RECORD, _VALUES = range(1000, 1020), range(2000, 2010)
KINDS = ("repeating", "chance")
_PROMPT, _WARM = 32, 2


@dataclass(frozen=True, slots=True)
class Side:
    """Of all answers of a load. `runs_per_token`: decode runs for each token of one answer. `cpu_ms_per_token` changes
    less than the time with what else the machine does.
    """

    tokens_per_second: float
    runs_per_token: float
    cpu_ms_per_token: float


async def sides(spec: EngineSpec, clients: tuple[int, ...], new_tokens: int, seed: int) -> dict[tuple[str, int], Side]:
    """By kind of answer and number of clients."""
    process = EngineProcess(spec)
    info = await process.start()
    try:
        await _answers(process, info.vocabulary_size, "chance", _WARM, new_tokens, seed)
        return {
            (kind, count): await _side(process, info.vocabulary_size, kind, count, new_tokens, seed)
            for kind in KINDS
            for count in clients
        }
    finally:
        await process.stop()


async def _side(process: EngineProcess, vocabulary: int, kind: str, count: int, new_tokens: int, seed: int) -> Side:
    before, cpu = await process.stats(), _cpu_seconds(process)
    clock = asyncio.get_running_loop()
    began = clock.time()
    tokens = await _answers(process, vocabulary, kind, count, new_tokens, seed)
    seconds = clock.time() - began
    after = await process.stats()
    spent = _cpu_seconds(process) - cpu
    return Side(tokens / seconds, (after.decode_runs - before.decode_runs) * count / tokens, 1000 * spent / tokens)


def _cpu_seconds(process: EngineProcess) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _answers(process: EngineProcess, vocabulary: int, kind: str, count: int, new_tokens: int, seed: int) -> int:
    source = random.Random(seed)
    asked = [
        GenerationRequest(
            f"{kind}-{count}-{number}",
            [source.randrange(3, vocabulary) for _ in range(_PROMPT)],
            new_tokens,
            Sampling(temperature=1.0, seed=seed + number),
            min_tokens=new_tokens,
            guidance=Guidance("lark", _grammar(kind)),
        )
        for number in range(count)
    ]
    return sum(await asyncio.gather(*(_answer(process, each) for each in asked)))


async def _answer(process: EngineProcess, request: GenerationRequest) -> int:
    found, stream = 0, process.submit(request)
    while stream.running:
        for event in await stream.next_events():
            if isinstance(event, Tokens):
                found += len(event.ids)
            elif event.reason is not FinishReason.LENGTH:
                raise EngineFailure(f"an answer ended early: {event.message or event.reason}")
    return found


def _grammar(kind: str) -> str:
    if kind == "chance":
        return f"start: any+\nany: {_one_of(range(3000, 3008))}"
    return f"start: record+\nrecord: {' '.join(f'<[{each}]>' for each in _RECORD)} value\nvalue: {_one_of(_VALUES)}"


def _one_of(ids: range) -> str:
    return " | ".join(f"<[{each}]>" for each in ids)
