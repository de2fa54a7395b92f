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
from pathlib import Path
from typing import Any

_PROCESS = 1


class TraceWriter:
    """Made by `open_trace`. `events` counts the spans written, `threads` named ones."""

    def __init__(self, text: io.TextIOBase, process_name: str) -> None:
        self._text = text
        self._threads: dict[tuple[str | None, int], int] = {}
        self._separator = "\n"
        self.events = 0
        self._metadata("process_name", 0, {"name": process_name})

    def thread(self, request: str | None, lane: int = 0) -> int:
        """The thread of a request, or (None) of runs of several; named when it is first asked for.

        Lanes beyond 0 hold what ran beside its runs.
        """
        thread = self._threads.get((request, lane))
        if thread is None:
            thread = self._threads[request, lane] = len(self._threads) + 1
            name = "batch" if request is None else f"request {request}"
            name += f", beside {lane}" if lane else ""
            self._metadata("thread_name", thread, {"name": name})
            self._metadata("thread_sort_index", thread, {"sort_index": thread})
        return thread

    def span(self, name: str, category: str, thread: int, start: int, end: int, args: dict[str, Any]) -> None:
        """Write a complete event from `start` to `end`."""
        self._write(
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
        self.events += 1

    def _metadata(self, name: str, thread: int, args: dict[str, Any]) -> None:
        self._write({"name": name, "ph": "M", "ts": 0, "pid": _PROCESS, "tid": thread, "args": args})

    def _write(self, event: dict[str, Any]) -> None:
        self._text.write(self._separator + json.dumps(event, separators=(",", ":")))
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
