"""Engines for tests: specs of the hello model, and a stream's events drained."""

import dataclasses
import os
from pathlib import Path

from genai_runtime.engine.protocol import Engine, EngineSpec
from genai_runtime.engine.stream import GenerationStream
from genai_runtime.generation import EngineEvent, Finished, GenerationRequest, Sampling, Tokens

HELLO_MODEL = Path(__file__).resolve().parents[2] / "examples" / "hello-model" / "model"


def hello_spec(profile_dir: Path, **changes: object) -> EngineSpec:
    """The hello model on at most two threads."""
    threads = min(2, os.cpu_count() or 1)
    spec = EngineSpec(HELLO_MODEL, profile_dir, intra_op_threads=threads, spinning=False, prefill_chunk=64)
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]  # tests name fields of EngineSpec


def prompt_of(length: int, seed: int = 0) -> list[int]:
    """Token ids of the hello model, none of them special."""
    return [(index * 37 + seed * 101) % 1200 + 10 for index in range(length)]


def request(
    request_id: str, prompt: list[int], max_tokens: int = 20, sampling: Sampling | None = None
) -> GenerationRequest:
    """A greedy request, if nothing else is said."""
    return GenerationRequest(request_id, prompt, max_tokens, sampling or Sampling())


def run_engine(engine: Engine, events: list[EngineEvent] | None = None) -> list[EngineEvent]:
    """Step until there is nothing to do; all that came out."""
    found = [] if events is None else events
    while engine.busy():
        found += engine.step()
    return found


def tokens_of(events: list[EngineEvent], request_id: str) -> list[int]:
    """One request's tokens."""
    return [
        token for event in events if isinstance(event, Tokens) and event.request_id == request_id for token in event.ids
    ]


def end_of(events: list[EngineEvent], request_id: str) -> Finished:
    """One request's end; fails unless there is exactly one."""
    (end,) = [event for event in events if isinstance(event, Finished) and event.request_id == request_id]
    return end


async def drain(stream: GenerationStream) -> tuple[list[int], Finished]:
    """All tokens of a stream and its end."""
    tokens: list[int] = []
    while True:
        for event in await stream.next_events():
            if isinstance(event, Finished):
                return tokens, event
            tokens += event.ids
