"""What the server itself does while a window is open: spans and ends of requests, and counters, one a line.

`timeline.jsonl` lies in the window's raw folder; `merge` shows it beside the runs. `*_NS` are time.monotonic_ns, one
clock for all processes of a pod. No text of prompts or answers, and nothing while no window is open.

    ["span", NAME, REQUEST, START_NS, END_NS, {..}]
    ["end", REASON, REQUEST, AT_NS, {..}]
    ["refused", REASON, REQUEST, AT_NS, {..}]          it ended before it had an engine slot
    ["counter", NAME, AT_NS, VALUE]
    ["closed", DROPPED]                                last line, absent if the process died or could not write
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

TIMELINE = "timeline.jsonl"
# Some 60 bytes each. A part of them is not for what comes with every token, so that a window of many tokens still
# shows when requests waited and ended.
MOST_ENTRIES = 100_000
_KEPT_FREE = 0.2
_BUFFER_BYTES = 64 * 1024
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time, of one request."""

    name: str
    request: str
    start_ns: int
    end_ns: int
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """A request ended; not `admitted`: before it had an engine slot."""

    reason: str
    request: str
    at_ns: int
    args: dict[str, Any] = field(default_factory=dict)
    admitted: bool = True


@dataclass(frozen=True, slots=True)
class Counter:
    """A number from this moment on."""

    name: str
    at_ns: int
    value: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The window's end; so many entries were dropped because there were too many."""

    dropped: int


Entry = Span | End | Counter | Closed


class Owner(Protocol):
    """Whose span it is."""

    request_id: str
    client: str


class Timeline:
    """Written by one thread, the event loop's. While not `recording`, nothing is kept but counters' last values."""

    def __init__(self, most_entries: int = MOST_ENTRIES, report: Callable[[OSError], None] = lambda _: None) -> None:
        """A window's entries beyond `most_entries` are counted and dropped. `report` hears why they cannot be kept."""
        self._report = report
        self.recording = False
        self._most = most_entries
        self._kept_free = round(most_entries * _KEPT_FREE)
        self._folder: Path | None = None
        self._file: TextIO | None = None
        self._wanted: Callable[[Owner], bool] = _everybody
        self._left = 0
        self._dropped = 0
        self._levels: dict[str, int] = {}

    def begin(self, raw: Path, wanted: Callable[[Owner], bool] | None = None) -> None:
        """Record into the window's raw folder, of the requests that are `wanted`. Never fails: it is reported."""
        if self._folder is not None:
            self.end(self._folder)
        self._folder, self._wanted, self._left, self._dropped = raw, wanted or _everybody, self._most, 0
        try:
            raw.mkdir(parents=True, exist_ok=True)
            self._file = (raw / TIMELINE).open("w", encoding="utf-8", buffering=_BUFFER_BYTES)
        except OSError as error:
            self._give_up(error)
            return
        self.recording = True
        for name, value in self._levels.items():
            self.counter(name, value)

    def end(self, raw: Path) -> None:
        """Stop, if this is the window that is recorded; what was said lies in its folder then."""
        if raw != self._folder:
            return
        if self._file is not None:
            self._left += 1
            self._write(["closed", self._dropped])
        self._close()
        self._folder = None

    def now(self) -> int:
        """The clock's nanoseconds, for a span that begins; 0 while nothing is recorded."""
        return time.monotonic_ns() if self.recording else 0

    def span(
        self,
        name: str,
        owner: Owner,
        start_ns: int,
        args: Mapping[str, Any] | None = None,
        *,
        end_ns: int = 0,
        each_token: bool = False,
    ) -> None:
        """Something of a request that began at `start_ns` ends (0: now); if it began unseen (0), it is not recorded."""
        if self.recording and start_ns and self._wanted(owner):
            entry = ["span", name, owner.request_id, start_ns, end_ns or time.monotonic_ns(), dict(args or {})]
            self._write(entry, keep_free=self._kept_free if each_token else 0)

    def request_ended(self, reason: str, owner: Owner, args: Mapping[str, Any]) -> None:
        """`reason` is from a closed list."""
        if self.recording and self._wanted(owner):
            self._write(["end", reason, owner.request_id, time.monotonic_ns(), dict(args)])

    def request_refused(self, reason: str, owner: Owner, args: Mapping[str, Any]) -> None:
        """It ended before it had an engine slot; `reason` is from a closed list."""
        if self.recording and self._wanted(owner):
            self._write(["refused", reason, owner.request_id, time.monotonic_ns(), dict(args)])

    def counter(self, name: str, value: int) -> None:
        """It is so from now on; a window that opens later begins with it."""
        self._levels[name] = value
        if self.recording:
            self._write(["counter", name, time.monotonic_ns(), value])

    def _write(self, entry: list[Any], keep_free: int = 0) -> None:
        if self._left <= keep_free:
            self._dropped += 1
            return
        self._left -= 1
        if self._file is not None:
            try:
                self._file.write(_encode(entry) + "\n")
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._report(error)
        self._close()

    def _close(self) -> None:
        self.recording = False
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._report(error)


def read_timeline(raw: Path) -> Iterator[Entry]:
    """Entries of a window's raw folder, in the order of their ends; none if there is no file. Bad lines are skipped."""
    try:
        file = (raw / TIMELINE).open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with file:
        for text in file:
            try:
                entry = _entry(json.loads(text))
            except ValueError:
                continue
            yield entry


def _entry(line: Any) -> Entry:
    """Raises ValueError for what `Timeline` does not write."""
    match line:
        case ["span", str(name), str(request), int(start), int(end), dict(args)] if 0 < start <= end:
            return Span(name, request, start, end, args)
        case ["end", str(reason), str(request), int(at), dict(args)] if at > 0:
            return End(reason, request, at, args)
        case ["refused", str(reason), str(request), int(at), dict(args)] if at > 0:
            return End(reason, request, at, args, admitted=False)
        case ["counter", str(name), int(at), int(value)] if at > 0:
            return Counter(name, at, value)
        case ["closed", int(dropped)]:
            return Closed(dropped)
    raise ValueError("no entry of a timeline")


def _everybody(_owner: Owner) -> bool:
    return True
