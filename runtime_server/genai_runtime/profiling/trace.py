"""Writes a Chrome trace, gzip-compressed, event by event: process = pod, thread = request,
or the batch, and on it runs and operators.

Which events there are and when they happened is the caller's work. All times are whole microseconds since 1970, so that
traces of several pods can be laid side by side.
"""

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

_PROCESS = 1
_MOST_LANES = 100
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Shared(Enum):
    """Threads that belong to no single request; they stand above the requests'."""

    BATCH = "batch"
    REFUSED = "refused"


class TraceWriter:
    """Made by `open_trace`. `events` counts what was written but names."""

    def __init__(self, text: io.TextIOBase, process_name: str) -> None:
        self._text = text
        self._threads: dict[tuple[str | Shared, str], int] = {}
        self._lanes: dict[str | Shared, tuple[int, int]] = {each: (place, 0) for place, each in enumerate(Shared)}
        self._separator = "\n"
        self.events = 0
        self._metadata("process_name", 0, {"name": process_name})

    def thread(self, owner: str | Shared, lane: str = "") -> int:
        """The thread of a request, by its id, or of several; named when it is first asked for.

        Other lanes than "" hold what happened beside its runs.
        """
        thread = self._threads.get((owner, lane))
        if thread is None:
            thread = self._threads[owner, lane] = len(self._threads) + 1
            name = owner.value if isinstance(owner, Shared) else f"request {owner}"
            name += f", {lane}" if lane else ""
            self._metadata("thread_name", thread, {"name": name})
            self._metadata("thread_sort_index", thread, {"sort_index": self._place(owner, lane)})
        return thread

    def span(self, name: str, category: str, thread: int, start: int, end: int, args: dict[str, Any]) -> None:
        """Write a complete event from `start` to `end`."""
        self._event(
            {
                "name": name,
                "cat": category,
                "ph": "X",
                "ts": start,
                "dur": end - start,
                "pid": _PROCESS,
                "tid": thread,
                "args": args,
            }
        )

    def instant(self, name: str, category: str, thread: int, moment: int, args: dict[str, Any]) -> None:
        """Write an event of that thread without a length."""
        event = {"name": name, "cat": category, "ph": "i", "s": "t", "ts": moment, "pid": _PROCESS, "tid": thread}
        self._event({**event, "args": args})

    def counter(self, name: str, moment: int, value: int) -> None:
        """Write that the pod's counter is `value` from `moment` on."""
        self._event({"name": name, "ph": "C", "ts": moment, "pid": _PROCESS, "tid": 0, "args": {"value": value}})

    def _place(self, owner: str | Shared, lane: str) -> int:
        """Where a thread stands: a request's own first, its other lanes below it."""
        place, lanes = self._lanes.get(owner, (len(self._lanes), 0))
        lanes += 1 if lane else 0
        self._lanes[owner] = place, lanes
        return place * _MOST_LANES + (min(lanes, _MOST_LANES - 1) if lane else 0)

    def _event(self, event: dict[str, Any]) -> None:
        self._write(event)
        self.events += 1

    def _metadata(self, name: str, thread: int, args: dict[str, Any]) -> None:
        self._write({"name": name, "ph": "M", "ts": 0, "pid": _PROCESS, "tid": thread, "args": args})

    def _write(self, event: dict[str, Any]) -> None:
        self._text.write(self._separator + _encode(event))
        self._separator = ",\n"


@contextmanager
def open_trace(path: Path, process_name: str) -> Iterator[TraceWriter]:
    """Write a trace to `path`; it appears there only when it is whole. Raises OSError."""
    draft = path.with_name(path.name + ".tmp")
    try:
        with gzip.open(draft, "wt", encoding="utf-8", compresslevel=6) as text:
            text.write('{"displayTimeUnit":"ms","traceEvents":[')
            yield TraceWriter(text, process_name)
            text.write("\n]}\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
