"""The latency practices, each on against off on the 116 M-parameter benchmark model, and the defaults against `tune`.

    make bench-latency [ARGS="--quick --sections tuned,warm_up"]

Writes build/bench/latency.json; prints ratios. A missed goal is no failure; a section that fails is.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console

from bench.latency.models import ensure
from bench.latency.practices import NOT_MEASURED, PRACTICES, Field, tuned
from bench.latency.verdicts import SIZES, checks
from genai_runtime.front import logs
from localkube import places
from support.bench import report, versions

TUNED = "tuned"
_SWEEP_SECONDS, _NO_HURRY, _QUICK_SLOT = 400.0, 86_400.0, 0.2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = (TUNED, *PRACTICES)
    parser.add_argument("--quick", action="store_true", help="one short round: whether everything works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sections", default=",".join(every), help=f"of {','.join(every)}")
    found = parser.parse_args()
    found.sections = found.sections.split(",")
    unknown = set(found.sections) - set(every)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    return found


async def measure(field: Field, asked: argparse.Namespace) -> None:
    """The practices round by round, then the sweeps."""
    rounds = 1 if asked.quick else asked.rounds
    for number in range(rounds):
        for name, practice in PRACTICES.items():
            if name in asked.sections:
                await _step(field, f"round {number + 1}/{rounds}: {name}", lambda: practice(field, number))  # noqa: B023
    if TUNED in asked.sections:
        for size in SIZES:
            await _step(field, f"the best for {size} clients", lambda: _tuned(field, size, quick=asked.quick))  # noqa: B023


async def _tuned(field: Field, clients: int, *, quick: bool) -> None:
    if quick:
        await tuned(field, clients, _NO_HURRY, _QUICK_SLOT)
    else:
        await tuned(field, clients, _SWEEP_SECONDS)


async def _step(field: Field, what: str, step: Callable[[], Awaitable[None]]) -> None:
    began = time.monotonic()
    try:
        await step()
    except Exception as error:  # the rest is worth measuring all the same
        field.failures.append(f"{what}: {error!r}")
        field.console.print(f"[bold red]{what} failed:[/] {error!r}")
    else:
        field.console.print(f"{what} took {time.monotonic() - began:.0f} s")


def main() -> None:
    asked, console = arguments(), Console()
    logs.configure("warning")
    models = ensure(places.cache_dir() / "bench-latency")
    scratch = Path(tempfile.mkdtemp(prefix="bench-latency-"))
    for name in ("profiles", "run"):
        (scratch / name).mkdir()
    field = Field(models, scratch, console, seconds=0.5 if asked.quick else 4.0, clients=SIZES)
    try:
        uvloop.run(measure(field, asked))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    run = {"quick": asked.quick, "not_measured": NOT_MEASURED, "failures": field.failures, "rows": field.rows}
    report("latency", versions=versions("onnxruntime", "onnxruntime-genai"), runs=[run], checks=checks(field.rows))
    for practice, why in NOT_MEASURED.items():
        console.print(f"gain_{practice} is not measured: {why}")
    if field.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
