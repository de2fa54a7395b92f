"""What the answers of all HTTP dialects share: events of one or several calls, usage, and bad endings."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from genai_runtime.front.generating import Ending, GenerationService, TextChunk
from genai_runtime.front.http.errors import Problem, problem_of_ending
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.validation import Call
from genai_runtime.generation import FinishReason

Event = TextChunk | Ending
_FINISHES = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}
# Calls of one request that are on their way at the same time; the others follow.
_AT_ONCE = 8


class BadEnding(Exception):
    """An accepted generation did not end well; in a stream its error is the last event."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def finish_of(ending: Ending) -> str:
    """OpenAI's finish_reason. Raises `BadEnding`."""
    problem = problem_of_ending(ending)
    if problem is not None:
        raise BadEnding(replace(problem, usage=usage([ending.record])))
    return _FINISHES[ending.reason]


def usage(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """OpenAI's usage of one or several calls."""
    prompt = sum(record.prompt_tokens for record in records)
    completion = sum(record.completion_tokens for record in records)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(record.cached_tokens for record in records)},
    }


async def events_of(service: GenerationService, method: str, calls: Sequence[Call]) -> AsyncGenerator[Event]:
    """The events of all calls; the choices of the second follow those of the first. Closing it ends the generations."""
    if len(calls) == 1:
        async with aclosing(service.stream(method, calls[0])) as events:
            async for event in events:
                yield event
        return
    queue: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=64)
    gate = asyncio.Semaphore(_AT_ONCE)
    tasks = [
        asyncio.create_task(_pump(service, method, number, call, queue, gate)) for number, call in enumerate(calls)
    ]
    everything = asyncio.ensure_future(_all(tasks, queue))
    try:
        while (found := await queue.get()) is not None:
            yield found
        await everything
    finally:
        for task in (*tasks, everything):
            task.cancel()
        await asyncio.gather(*tasks, everything, return_exceptions=True)


async def _pump(
    service: GenerationService,
    method: str,
    number: int,
    call: Call,
    queue: "asyncio.Queue[Event | None]",
    gate: asyncio.Semaphore,
) -> None:
    first = number * call.options.n
    async with gate, aclosing(service.stream(method, call)) as events:
        async for event in events:
            await queue.put(replace(event, index=first + event.index))


async def _all(tasks: Sequence["asyncio.Task[None]"], queue: "asyncio.Queue[Event | None]") -> None:
    """Ends the queue when all have ended, or the first has failed."""
    try:
        await asyncio.gather(*tasks)
    finally:
        await queue.put(None)
