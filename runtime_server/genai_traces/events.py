"""The events of a trace file, one at a time: gzip-compressed Chrome-trace JSON with one event a line, as pods write it.

A small reader of exactly that form, so that a trace of any size is read in constant memory; everything else is refused
with its line. What events mean is the other modules' business.
"""

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

Event = dict[str, Any]

HEADER: Final = '{"displayTimeUnit":"ms","traceEvents":['
FOOTER: Final = "]}"
LONGEST_LINE: Final = 1 << 20  # bytes; the events of pods are a few hundred
METADATA: Final = "M"
SPAN: Final = "X"
COUNTER: Final = "C"
FLOWS: Final = frozenset("stf")
ASYNC: Final = frozenset("bne")
INSTANTS: Final = frozenset("iI")
_PHASES = frozenset({METADATA, SPAN, COUNTER}) | FLOWS | ASYNC | INSTANTS
_LARGEST_ID = 2**31 - 1  # of a process or thread, in the viewers


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)  # made once: making one takes as long as an event


class NotATrace(ValueError):
    """The file is not of the form that pods write; says which file, which line and what is wrong there."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events in the order of the file, each with valid fields. Raises `NotATrace`, OSError."""
    for number, event in read_lines(path):
        problem = field_problem(event)
        if problem:
            raise NotATrace(path, number, problem)
        yield event


def read_lines(path: Path) -> Iterator[tuple[int, Event]]:
    """Yield (line, object) without a look at the objects' fields. Raises `NotATrace`, OSError."""
    with gzip.open(path, "rb") as file:
        lines = _Lines(path, file)
        if lines.next() != HEADER:
            lines.refuse(f"a trace begins with {HEADER}")
        following = lines.next()
        while following != FOOTER:
            text = following.removesuffix(",")
            event = _parse(lines, text)
            number, ended = lines.number, text == following
            following = lines.next()
            if ended != (following == FOOTER):
                lines.refuse("events are separated by one comma, and the last one is followed by none")
            yield number, event
        lines.end()


def field_problem(event: Event) -> str | None:
    """What is wrong with an event's fields, or None."""
    phase = event.get("ph")
    if not isinstance(phase, str) or phase not in _PHASES:
        return f"phase {phase!r} is not one of {', '.join(sorted(_PHASES))}"
    name = event.get("name")
    if not isinstance(name, str) or not name:
        return "an event has no name"
    for key in ("pid", "tid"):
        value = event.get(key)
        if type(value) is not int or not 0 <= value <= _LARGEST_ID:
            return f"{name!r}: {key} is {value!r}, not a whole number from 0 to {_LARGEST_ID}"
    if not _is_time(event.get("ts")):
        return f"{name!r}: ts is {event.get('ts')!r}, not a time in microseconds"
    if not isinstance(event.get("args", {}), dict):
        return f"{name!r}: args is not an object"
    return _phase_problem(event, phase, name)


def _phase_problem(event: Event, phase: str, name: str) -> str | None:
    if phase == SPAN and not _is_time(event.get("dur")):
        return f"{name!r}: dur is {event.get('dur')!r}, not a duration in microseconds"
    if phase in FLOWS | ASYNC and not any(key in event for key in ("id", "id2")):
        return f"{name!r}: an event of phase {phase!r} needs an id"
    if phase == COUNTER:
        values = event.get("args") or {}
        if not values or not all(_is_number(value) for value in values.values()):
            return f"{name!r}: a counter's args are numbers, at least one"
    if phase != METADATA and not isinstance(event.get("cat", ""), str):
        return f"{name!r}: cat is not text"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_time(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _parse(lines: "_Lines", text: str) -> Event:
    try:
        event = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        lines.refuse(f"not one event in JSON: {error}")
    if not isinstance(event, dict):
        lines.refuse("not an event: a line holds one JSON object")
    return event


class _Lines:
    """The text's lines, each of bounded length; every failure names the line."""

    def __init__(self, path: Path, file: gzip.GzipFile) -> None:
        self._path = path
        self._file = file
        self.number = 0

    def next(self) -> str:
        line = self._read()
        self.number += 1
        if not line.endswith(b"\n"):
            self.refuse(
                f"longer than {LONGEST_LINE} bytes" if len(line) == LONGEST_LINE else "the trace is cut off here"
            )
        try:
            return line[:-1].decode()
        except UnicodeDecodeError as error:
            self.refuse(f"not UTF-8: {error.reason}")

    def end(self) -> None:
        """Nothing may follow."""
        if self._read():
            self.number += 1
            self.refuse("something follows the end of the trace")

    def refuse(self, problem: str) -> NoReturn:
        raise NotATrace(self._path, self.number, problem)

    def _read(self) -> bytes:
        try:
            return self._file.readline(LONGEST_LINE)
        except EOFError:
            self.number += 1
            self.refuse("the gzip file is cut off here")
        except (gzip.BadGzipFile, zlib.error) as error:
            self.number += 1
            self.refuse(f"not a readable gzip file: {error}")
