"""Batch engines of the hello model, and requests that go on as long as they may."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.generation import GenerationRequest, Sampling
from support.engines import hello_spec, prompt_of, request, run_engine, tokens_of

GREEDY = Sampling()
SEEDED = Sampling(temperature=1.3, top_k=50, top_p=0.95, seed=11)
PENALISED = Sampling(temperature=0.9, repetition_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.4, seed=3)


class Make(Protocol):
    """Loads an engine; fields of its spec by name."""

    def __call__(self, **changes: object) -> BatchEngine: ...


@contextmanager
def batch_engines(profile_dir: Path) -> Iterator[Make]:
    """Engines that are closed at the end."""
    made: list[BatchEngine] = []

    def make(**changes: object) -> BatchEngine:
        engine = BatchEngine()
        engine.load(hello_spec(profile_dir, **{"max_concurrent": 16, "max_sequence_length": 1024, **changes}))
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


def free_run(request_id: str, length: int, seed: int = 0, max_tokens: int = 30, **more: object) -> GenerationRequest:
    """A request that goes on to `max_tokens`."""
    base = request(request_id, prompt_of(length, seed), max_tokens)
    return dataclasses.replace(base, **{"ignore_eos": True, **more})  # type: ignore[arg-type]  # fields by name


def alone(engine: BatchEngine, wanted: GenerationRequest) -> list[int]:
    """The tokens of a request that has the engine to itself."""
    engine.submit(wanted)
    return tokens_of(run_engine(engine), wanted.request_id)
