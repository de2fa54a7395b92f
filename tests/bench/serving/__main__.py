"""Serving, measured: this project against llama-server and raw onnxruntime-genai, everything in turn in one run.

    make bench-serving [ARGS="--quick --sections closed,decode"]

Writes build/bench/serving.json and build/bench/serving.png; prints ratios. A missed goal is no failure; a contestant
that fails is.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

# Clients are started while channels are open.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from rich.console import Console

from bench.serving import behaviour, endings, model, tables, throughput
from bench.serving.arena import THREADS, Arena, arena
from bench.serving.plot import draw
from bench.serving.verdicts import checks
from localkube import places
from support.bench import FOLDER, report, versions

SECTIONS = ("closed", "decode", "long", "poisson", "behaviour", "freed", "killed", "cancels")
_BUSY = 0.05
_DOCS = Path(__file__).parents[3] / "docs" / "images" / "serving.png"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, few sizes: whether everything works")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of closed loops and decoding; others take fewer")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--cancels", type=int, default=10_000)
    parser.add_argument("--docs", action="store_true", help=f"writes the plot to {_DOCS.relative_to(_DOCS.parents[2])}")
    found = parser.parse_args()
    found.sections = found.sections.split(",")
    unknown = set(found.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return found


async def measure(field: Arena, asked: argparse.Namespace) -> None:
    """All sections, in rounds."""
    quick: bool = asked.quick
    rounds = 1 if quick else asked.rounds
    few = min(rounds, 3)
    sizes = (1, 8) if quick else (1, 2, 4, 8, 16)
    steps: list[tuple[str, int, Any]] = [
        ("closed", rounds, lambda number: throughput.closed_loops(field, number, sizes)),
        ("decode", rounds, lambda number: throughput.decoding(field, number, (1, 8) if quick else (1, 4, 8, 16), 2)),
        ("poisson", few, lambda number: throughput.arrivals(field, number, (6,) if quick else (3, 6, 10))),
        ("long", few, lambda number: throughput.long_contexts(field, number, (1,) if quick else (1, 4, 8))),
        ("behaviour", few, lambda number: behaviour.joining(field, number, 2 if quick else 3)),
        ("behaviour", few, lambda number: behaviour.shared_prefix(field, number, 2 if quick else 3)),
        ("behaviour", few, lambda number: behaviour.health(field, number)),
        ("freed", few, lambda number: endings.freed_rows(field, number, 1)),
        ("killed", few, lambda number: endings.killed(field, number)),
        (
            "cancels",
            1,
            lambda number: endings.cancels(field, number, min(asked.cancels, 1000) if quick else asked.cancels),
        ),
    ]
    for number in range(rounds):
        for section, times, step in steps:
            if section in asked.sections and number < times:
                began = time.monotonic()
                await step(number)
                field.console.print(f"round {number + 1}/{rounds}: {section} took {time.monotonic() - began:.0f} s")


def main() -> None:
    asked, console = arguments(), Console()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # contestants and folders go as well
    cpus = sorted(os.sched_getaffinity(0))[:THREADS]
    os.sched_setaffinity(0, cpus)  # clients and, by inheritance, every server
    files = model.ensure(places.cache_dir() / "bench-serving")
    if files.llama is None:
        console.print(f"[bold white on red] NO LLAMA.CPP: nothing is compared with llama-server [/] {files.why}")
    with arena(files, console) as field:
        uvloop.run(measure(field, asked))
    found = {**versions("onnxruntime", "onnxruntime-genai", "grpcio", "numpy"), "cpus": str(cpus)}
    if files.llama:
        found["llama.cpp-tools"] = files.llama.version()
    tables.show(console, field.rows, files.perplexities)
    foreign = {"median": round(median(field.foreign), 3), "max": round(max(field.foreign), 3)} if field.foreign else {}
    console.print(f"of the machine's CPU time, others took during a measurement: {foreign}")
    if foreign and foreign["median"] > _BUSY:
        console.print("[bold white on red] THE MACHINE WAS BUSY: the figures say little [/]")
    run = {
        "quick": asked.quick,
        "foreign_cpu_share": foreign,
        "perplexities": files.perplexities,
        "failures": field.failures,
        "rows": field.rows,
    }
    report("serving", versions=found, runs=[run], checks=checks(field.rows))
    for path in [FOLDER / "serving.png", *([_DOCS] if asked.docs else [])]:
        draw(field.rows, f"116 M parameters, int4, {len(cpus)} cores shared by server and client", path)
        console.print(str(path))
    if field.failures:
        console.print(f"[bold red]{len(field.failures)} failed:[/] " + "; ".join(field.failures))
        sys.exit(1)


if __name__ == "__main__":
    main()
