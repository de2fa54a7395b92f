"""What commands print: results to stdout, everything said beside them to stderr. What is in them is the commands'.

`-o json` is one clean JSON value on stdout; colours and progress bars are for terminals only.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from genai_kubectl.options import Format

_GAP = 3


def stdout() -> Console:
    """The console of results."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def stderr() -> Console:
    """The console of everything else."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """A line beside the result."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A line of the result."""
    print(text, flush=True)


def structured(value: Any, chosen: Format) -> bool:
    """Prints the value if JSON or YAML was asked for; whether it did."""
    if chosen is Format.JSON:
        show(json.dumps(value, indent=2, ensure_ascii=False))
    elif chosen is Format.YAML:
        show(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        return False
    return True


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns, as kubectl prints them."""
    for line in columns(header, rows):
        show(line)


def columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table; no cell is cut."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    lines = []
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def pairs(values: Mapping[str, object]) -> None:
    """One name and value a line; empty values are left out."""
    shown = {name: str(value) for name, value in values.items() if value not in ("", None)}
    width = max(map(len, shown), default=0) + _GAP
    for name, value in shown.items():
        show(f"{name:<{width}}{value}")


def progress() -> Progress:
    """A progress bar on stderr; it shows nothing unless stderr is a terminal."""
    # Names and messages are shown as they are: brackets in them are no markup.
    name, said = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[said]}", markup=False)
    parts = (name, BarColumn(), said, TimeElapsedColumn())
    return Progress(*parts, console=stderr(), transient=True, disable=not sys.stderr.isatty())
