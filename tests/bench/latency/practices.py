"""Each practice on against off, side by side in turn, through the product's own engine process and its own defaults.

A row is one measurement of one side: `{"section", "round", "side", "clients", …}`. Ratios are `verdicts.py`'s.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.latency import binding
from bench.latency.models import Models
from bench.latency.quota import limited
from bench.latency.speculation import sides
from genai_runtime.cli.launch import engine_spec
from genai_runtime.cpu_limit import cpu_share, usable_cpus
from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec, Window
from genai_runtime.settings import load_settings
from genai_runtime.tuning.load import drive, measure_of, visit, warm
from genai_runtime.tuning.plan import Candidate, Load, Sweep
from genai_runtime.tuning.result import result
from genai_runtime.tuning.sweep import Task, run

ON, OFF = "on", "off"
CONTEXTS = (128, 1024)
PROMPT, NEW = 64, 64
_ONE = Load((1,), PROMPT, NEW)
_SHORTEST, _PER_SECOND = 64, 64  # tokens of an answer in which guesses may be right


@dataclass
class Field:
    """What is measured with, and the rows so far."""

    models: Models
    scratch: Path
    console: Console
    seconds: float  # of one measurement
    clients: tuple[int, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def spec(self, folder: Path | None = None, **changes: Any) -> EngineSpec:
        """What a pod without any settings gives its engine, limited to the CPUs that this process may use.

        The CPUs of a machine without a limit count as a limit: nobody else uses them meanwhile.
        """
        settings = load_settings(profile_dir=self.scratch / "profiles", run_dir=self.scratch / "run")
        found = engine_spec(settings, folder or self.models.int4)
        share = cpu_share()
        share = replace(share, limit=share.limit or float(len(share.allowed)))
        return replace(found, **{"spinning": share.may_spin(found.intra_op_threads, 0), **changes})

    def add(self, section: str, number: int, side: str, **figures: Any) -> None:
        self.rows.append({"section": section, "round": number, "side": side, **figures})


async def tuned(field: Field, clients: int, seconds: float, slot: float | None = None) -> None:
    """The defaults against the best that a sweep finds for so many clients; `slot` is of one measurement."""
    spec = field.spec()
    present = Candidate(spec.intra_op_threads, spec.spinning, spec.max_concurrent, spec.prefill_chunk)
    load = Load((clients,), PROMPT, NEW)
    task = Task(present, Sweep(), load, usable_cpus(), seconds, slot)
    found = result(task, await run(task, measure_of(spec, "auto", load)))
    field.add("tuned", 0, "both", clients=clients, **found)


async def graph_optimization(field: Field, number: int) -> None:
    """All of ONNX Runtime's rewriting against none."""
    await _pair(field, "graph_optimization", number, field.spec(), field.spec(graph_optimization_level="disabled"))


async def memory_arena_pattern(field: Field, number: int) -> None:
    """An arena and planned memory against the system's allocator for everything."""
    off = field.spec(memory_arena=False, memory_pattern=False)
    await _pair(field, "memory_arena_pattern", number, field.spec(), off)


async def reduced_precision(field: Field, number: int) -> None:
    """Four-bit weights against the floats that they were rounded from."""
    await _pair(field, "reduced_precision", number, field.spec(), field.spec(field.models.float32))


async def threads(field: Field, number: int) -> None:
    """As many threads as CPUs that may be used against as many as the machine has, where only one may be used."""
    with limited(1) as by:
        off = field.spec(intra_op_threads=os.cpu_count() or 1, spinning=True)
        await _pair(field, "threads", number, field.spec(), off, limited_by=by)


async def io_binding(field: Field, number: int) -> None:
    """See `binding.py`."""
    for rows in field.clients:
        for context in CONTEXTS:
            on, off = binding.rates(field.spec(), rows, context, max(10, int(20 * field.seconds)))
            for side, rate in ((ON, on), (OFF, off)):
                field.add("io_binding", number, side, clients=rows, context=context, tokens_per_second=rate * rows)


async def warm_up(field: Field, number: int) -> None:
    """The first answer of an engine that was warmed as a server does against one that was not."""
    for side in _turns(number):
        process = EngineProcess(field.spec())
        info = await process.start()
        try:
            source = random.Random(number)
            if side == ON:
                await warm(process, info, _ONE, source)
            figure = await drive(process, info, 1, _ONE, 0.0, source)
        finally:
            await process.stop()
        field.add("warm_up", number, side, clients=1, first_token_ms=figure.first_token_ms)


async def profiling(field: Field, number: int) -> None:
    """With a window of every run open against without, in the same engine process."""
    process = EngineProcess(field.spec())
    info = await process.start()
    try:
        source = random.Random(number)
        await warm(process, info, _ONE, source)
        for clients in field.clients:
            for side in _turns(number):
                if side == ON:
                    process.open_window(Window(f"bench-{number}-{clients}", 10**6, 2**30, 600.0))
                figure = await drive(process, info, clients, _ONE, field.seconds, source)
                if side == ON:
                    process.close_window("measured")
                    await process.stats()
                rate = figure.tokens_per_second
                field.add("profiling", number, side, clients=clients, tokens_per_second=rate)
    finally:
        await process.stop()


async def speculation(field: Field, number: int) -> None:
    """Guessed tokens against none, for answers that repeat themselves and for those that only look so."""
    for side in _turns(number):
        spec = field.spec(speculation="ngram" if side == ON else "off")
        found = await sides(spec, field.clients, max(_SHORTEST, int(_PER_SECOND * field.seconds)), number)
        for (kind, clients), each in found.items():
            field.add("speculation", number, side, clients=clients, context=kind, **asdict(each))


PRACTICES = {
    "graph_optimization": graph_optimization,
    "threads": threads,
    "io_binding": io_binding,
    "memory_arena_pattern": memory_arena_pattern,
    "reduced_precision": reduced_precision,
    "warm_up": warm_up,
    "profiling": profiling,
    "speculation": speculation,
}
NOT_MEASURED = {"cuda_graphs": "CUDA graphs replay kernels of an NVIDIA GPU; on a CPU there is nothing to replay"}


async def _pair(field: Field, section: str, number: int, on: EngineSpec, off: EngineSpec, **more: Any) -> None:
    load = Load(field.clients, PROMPT, NEW)
    sides = {ON: on, OFF: off}
    for side in _turns(number):
        found = await visit(sides[side], "auto", load, field.seconds, random.Random(number))
        for figure in found.figures:
            field.add(
                section,
                number,
                side,
                clients=figure.clients,
                tokens_per_second=figure.tokens_per_second,
                first_token_ms=figure.first_token_ms,
                start_seconds=found.start_seconds,
                threads=found.info.intra_op_threads,
                **more,
            )


def _turns(number: int) -> Sequence[str]:
    """Neither side always comes first."""
    return (OFF, ON) if number % 2 else (ON, OFF)
