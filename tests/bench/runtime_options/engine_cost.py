"""What a window costs the engine, as CPU time of its process a token: no front, no clients, no cluster.

The batch engine in this process, with one thread, so that its CPU time is work and no waiting. A block is the same two
answers again, in a hundred decode runs and some thirty milliseconds; a round is blocks of all kinds there and back
(A B C C B A), so that what drifts costs all kinds the same. Opening and closing windows lies between blocks.
"""

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.protocol import Window
from genai_runtime.generation import Tokens, WindowProgress
from genai_runtime.profiling.selection import Selection
from genai_runtime.profiling.store import RAW_SUFFIX
from support.engines import hello_spec, prompt_of, request, run_engine

NONE = "none"
# By the tokens of an answer that their runs make: one that none has, and one of the hundred.
KINDS = {NONE: "", "no run": "1000000", "1 in 100": "50"}
ROWS, PROMPT, NEW = 2, 32, 100
_WARM = 5
_MOST_RUNS, _MOST_BYTES, _MOST_SECONDS = 100_000, 1 << 30, 600.0


def engine_cost(rounds: int) -> dict[str, Any]:
    """Microseconds of CPU time a token in each block, by kind; and by how much more it is, see `spread`."""
    microseconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as folder:
        engine = BatchEngine()
        engine.load(hello_spec(Path(folder), intra_op_threads=1, max_concurrent=ROWS, prefix_cache_bytes=0))
        for _ in range(_WARM):
            _block(engine, Path(folder), "")
        for _ in range(rounds):
            for kind in [*KINDS, *reversed(KINDS)]:
                microseconds[kind].append(_block(engine, Path(folder), KINDS[kind]))
        engine.close()
    costs = {kind: spread(percents(microseconds[NONE], microseconds[kind])) for kind in KINDS if kind != NONE}
    return {"percent": costs, "microseconds_per_token": microseconds}


def percents(without: list[float], within: list[float]) -> list[float]:
    """Of each round, which is two blocks of each kind: how much more `within` is."""
    pairs = zip(zip(without[::2], without[1::2], strict=True), zip(within[::2], within[1::2], strict=True), strict=True)
    return [sum(more) / sum(less) * 100 - 100 for less, more in pairs]


def spread(values: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": median(values), "lower_quartile": low, "upper_quartile": high}


def _block(engine: BatchEngine, folder: Path, runs: str) -> float:
    if runs:
        engine.open_window(Window("cost", _MOST_RUNS, _MOST_BYTES, _MOST_SECONDS, Selection(runs)))
    for number in range(ROWS):
        asked = request(str(number), prompt_of(PROMPT, number), NEW)
        engine.submit(dataclasses.replace(asked, ignore_eos=True))
    began = time.process_time_ns()
    events = run_engine(engine)
    taken = time.process_time_ns() - began
    if runs:
        engine.close_window("disabled")
        captured = [each.runs for each in run_engine(engine) if isinstance(each, WindowProgress)][-1]
        assert captured == (runs == KINDS["1 in 100"]), f"{captured} runs were captured by {runs!r}"
        shutil.rmtree(folder / f"cost{RAW_SUFFIX}")
    return taken / 1000 / sum(len(each.ids) for each in events if isinstance(each, Tokens))
