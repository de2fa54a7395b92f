"""What every benchmark writes: `build/bench/NAME.json` with the machine, the versions, the raw runs and the checks.

A benchmark reports, it does not judge: a goal that is missed is printed and recorded, and the exit status stays 0.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Check:
    """One figure and its goal. `id` ends in the unit; `at_most` False means that more is better. What was not measured
    has no value and does not hold."""

    id: str
    value: float | None
    goal: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of the named distributions."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def report(
    name: str, *, versions: Mapping[str, str], runs: Sequence[Mapping[str, Any]], checks: Sequence[Check]
) -> Path:
    """Writes the file, prints the table, returns the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    found = [{key: value for key, value in asdict(check).items() if key != "at_most"} for check in checks]
    content = {
        "machine": machine(),
        "versions": dict(versions),
        "runs": list(runs),
        "checks": [{**each, "holds": check.holds} for each, check in zip(found, checks, strict=True)],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    table = Table("check", "value", "goal", "holds", title=name)
    for check in checks:
        goal = f"{'≤' if check.at_most else '≥'} {check.goal:g}"
        value = "not measured" if check.value is None else f"{check.value:.4g}"
        table.add_row(check.id, value, goal, "yes" if check.holds else "NO")
    console = Console()
    console.print(table)
    console.print(str(path))
    return path
