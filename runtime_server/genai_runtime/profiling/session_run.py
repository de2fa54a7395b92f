"""Reads one file of ONNX Runtime's run-level profiler: the operators of one Session::Run, nothing of the rest.

The file is Chrome-trace JSON. Its `ts` are microseconds since that run's own profiler started, just before the run's
event `model_run`; there is nothing absolute in it but the file's name. Placing runs on one axis is `merge`'s work.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024 * 1024
_KERNEL = "_kernel_time"


class UnreadableRun(ValueError):
    """The file is cut off, too large or not a profile."""


@dataclass(slots=True)
class Operator:
    """One execution of a node. Times are microseconds since the run's profiler started; `own` lacks nested ones.

    `lane` 0 is the thread that runs the model; others (a device's kernels, other threads) count from 1.
    """

    name: str
    op_type: str
    provider: str
    inputs: str
    outputs: str
    start: int
    end: int
    lane: int = 0
    own: int = 0


@dataclass(slots=True)
class SessionRun:
    """One Session::Run: its own span in microseconds, and its operators, nested properly within lanes, by start."""

    start: int
    end: int
    operators: list[Operator]


def read_session_run(path: Path) -> SessionRun:
    """Read a raw file. Raises `UnreadableRun`, OSError."""
    if path.stat().st_size > MOST_BYTES:
        raise UnreadableRun(f"larger than {MOST_BYTES} bytes")
    try:
        events = json.loads(path.read_bytes())
    except ValueError as error:
        raise UnreadableRun(f"not JSON: {error}") from error
    if not isinstance(events, list):
        raise UnreadableRun("not a list of events")
    try:
        return _session_run(events)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRun(f"not a run's profile: {error!r}") from error


def nest(operators: list[Operator], limit: int) -> list[Operator]:
    """Sort by start, cut what overlaps in part (ends at its parent's end, nothing after `limit`), compute own times."""
    operators.sort(key=lambda operator: (operator.start, -operator.end))
    parents: list[Operator] = []
    for operator in operators:
        while parents and parents[-1].end <= operator.start:
            parents.pop()
        operator.start = min(operator.start, limit)
        operator.end = min(operator.end, parents[-1].end if parents else limit)
        operator.own = operator.end - operator.start
        if parents:
            parents[-1].own -= operator.own
        parents.append(operator)
    return operators


def _session_run(events: list[dict[str, Any]]) -> SessionRun:
    whole = [event for event in events if event.get("cat") == "Session" and event["name"] == "model_run"]
    if len(whole) != 1:
        raise UnreadableRun(f"{len(whole)} runs in one file")
    start, end = _span(whole[0])
    home = ("Node", whole[0]["tid"])
    lanes: dict[tuple[str, Any], list[Operator]] = {home: []}
    for event in events:
        if event.get("cat") == "Session" or event.get("ph") != "X":
            continue
        lanes.setdefault((event["cat"], event["tid"]), []).append(_operator(event))
    operators: list[Operator] = []
    for number, found in enumerate(lanes.values()):
        for operator in nest(found, end):
            operator.lane = number
            operators.append(operator)
    return SessionRun(start, end, operators)


def _operator(event: dict[str, Any]) -> Operator:
    start, end = _span(event)
    args = event.get("args") or {}
    name = str(event["name"]).removesuffix(_KERNEL)
    return Operator(
        name,
        str(args.get("op_name") or event["cat"]),
        str(args.get("provider") or ""),
        _shapes(args.get("input_type_shape")),
        _shapes(args.get("output_type_shape")),
        start,
        end,
    )


def _span(event: dict[str, Any]) -> tuple[int, int]:
    start, duration = int(event["ts"]), int(event["dur"])
    if start < 0 or duration < 0:
        raise UnreadableRun("an event has a negative time")
    return start, start + duration


def _shapes(value: Any) -> str:
    """`[{"float": [1, 768]}, {"int64": [1]}]` becomes `float[1,768] int64[1]`."""
    if not isinstance(value, list):
        return ""
    parts = [
        f"{kind}[{','.join(str(size) for size in sizes)}]"
        for tensor in value
        if isinstance(tensor, dict)
        for kind, sizes in tensor.items()
        if isinstance(sizes, list)
    ]
    return " ".join(parts)
