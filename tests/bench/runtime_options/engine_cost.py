"""What a window costs the engine, as CPU time of its process a step: no front, no clients, no cluster.

The batch engine in this process, with one thread, so that its CPU time is work and no waiting. A block is the same two
answers again, in a hundred decode runs: thirty milliseconds of the hello model, half a second of the benchmark's. A
round is blocks of all kinds there and back (A B C C B A), so that what drifts costs all kinds the same. A block is told
by the fastest tenth of its steps: who else uses the machine makes steps longer, and none shorter. Opening and closing
windows lies between blocks.
"""

import dataclasses
import shutil
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.protocol import Window
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.selection import Selection
from genai_runtime.profiling.store import RAW_SUFFIX
from support.engines import HELLO_MODEL, hello_spec, prompt_of, request, run_engine

NONE = "none"
# By the tokens of an answer that their runs make: one that none has, and one of the hundred.
ARMED = 50
KINDS = {NONE: "", "no run": "1000000", "1 in 100": str(ARMED)}
ROWS, PROMPT, NEW = 2, 32, 100
_WARM = 5
_MOST_RUNS, _MOST_BYTES, _MOST_SECONDS = 100_000, 1 << 30, 600.0


@dataclass(frozen=True)
class Block:
    """CPU time, in microseconds: of an undisturbed step, and of the one that a window of one run in 100 captures."""

    step: float
    armed: float


def engine_cost(rounds: int, model: Path = HELLO_MODEL) -> dict[str, Any]:
    """All blocks by kind, and for each kind of window by how many percent a hundred runs took longer: see `spread`."""
    blocks: dict[str, list[Block]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as folder:
        engine = BatchEngine()
        own = {"model_dir": model, "intra_op_threads": 1, "max_concurrent": ROWS, "prefix_cache_bytes": 0}
        engine.load(hello_spec(Path(folder), **own))
        for _ in range(_WARM):
            _block(engine, Path(folder), "")
        for _ in range(rounds):
            for kind in [*KINDS, *reversed(KINDS)]:
                blocks[kind].append(_block(engine, Path(folder), KINDS[kind]))
        engine.close()
    costs = {kind: spread(percents(blocks[NONE], blocks[kind])) for kind in KINDS if kind != NONE}
    return {"percent": costs, "blocks": {kind: [astuple(each) for each in found] for kind, found in blocks.items()}}


def percents(without: list[Block], within: list[Block]) -> list[float]:
    """Of each round, which is two blocks of each kind: how much longer a hundred runs took `within`."""
    return [
        sum(99 * each.step + each.armed for each in within[start : start + 2])
        / sum(99 * each.step + each.armed for each in without[start : start + 2])
        * 100
        - 100
        for start in range(0, len(without), 2)
    ]


def spread(values: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": median(values), "lower_quartile": low, "upper_quartile": high}


def _block(engine: BatchEngine, folder: Path, runs: str) -> Block:
    if runs:
        engine.open_window(Window("cost", _MOST_RUNS, _MOST_BYTES, _MOST_SECONDS, Selection(runs)))
    for number in range(ROWS):
        asked = request(str(number), prompt_of(PROMPT, number), NEW)
        engine.submit(dataclasses.replace(asked, ignore_eos=True))
    steps = []
    while engine.busy():
        began = time.process_time_ns()
        engine.step()
        engine.busy()  # an open window is asked here as well
        steps.append((time.process_time_ns() - began) / 1000)
    if runs:
        engine.close_window("disabled")
        captured = [each.runs for each in run_engine(engine) if isinstance(each, WindowProgress)][-1]
        assert captured == (runs == KINDS["1 in 100"]), f"{captured} runs were captured by {runs!r}"
        shutil.rmtree(folder / f"cost{RAW_SUFFIX}")
    armed = runs == KINDS["1 in 100"]
    undisturbed = sorted(steps)[len(steps) // 10]
    return Block(undisturbed, max(steps[ARMED - 1 : ARMED + 2]) if armed else undisturbed)
