"""Writes a trace in the form that `events` reads, event by event. Which events is the caller's business."""

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genai_traces.events import FOOTER, HEADER, METADATA, Event

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class EventWriter:
    """Made by `open_events`. `events` counts what was written without metadata."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._separator = "\n"
        self.events = 0

    def write(self, event: Event) -> None:
        """One line more."""
        self._text.write(self._separator + _encode(event))
        self._separator = ",\n"
        self.events += event["ph"] != METADATA

    def metadata(self, name: str, process: int, args: Event) -> None:
        """What belongs to a process as a whole, such as its name."""
        self.write({"name": name, "ph": METADATA, "ts": 0, "pid": process, "tid": 0, "args": args})


@contextmanager
def open_events(path: Path) -> Iterator[EventWriter]:
    """Write a trace to `path`; it appears only when it is whole. Equal events make equal files. Raises OSError."""
    draft = path.with_name(path.name + ".tmp")
    try:
        with (
            draft.open("wb") as file,
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
        ):
            text.write(HEADER)
            yield EventWriter(text)
            text.write(f"\n{FOOTER}\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
