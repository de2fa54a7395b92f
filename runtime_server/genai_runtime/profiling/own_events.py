"""Shows in a trace what the server itself did (`timeline`): spans and ends of requests, and counters.

On a request's thread lies what happens before its runs; on `request ID, answer` what happens at the same time as they.
Requests that never had an engine slot share one thread, for there may be very many.
"""

from collections.abc import Callable

from genai_runtime.profiling.timeline import TIMELINE, Closed, Counter, End, Entry, Span
from genai_runtime.profiling.trace import Shared, TraceWriter

ANSWER = "answer"
_BEFORE_RUNS = frozenset({"tokenise", "queue"})


class OwnEvents:
    """`add` each entry in its order, then see `message`."""

    def __init__(self, trace: TraceWriter, microseconds: Callable[[int], int]) -> None:
        """`microseconds` makes the trace's time of a monotonic clock's nanoseconds."""
        self._trace = trace
        self._microseconds = microseconds
        self._entries = 0
        self._closed: Closed | None = None

    def add(self, entry: Entry) -> None:
        """Write one entry."""
        self._entries += 1
        match entry:
            case Span(name, request, start, end, args):
                thread = self._trace.thread(request, "" if name in _BEFORE_RUNS else ANSWER)
                self._trace.span(name, "front", thread, self._microseconds(start), self._microseconds(end), args)
            case End(reason, request, at, args, True):
                thread = self._trace.thread(request)
                self._trace.instant(f"end: {reason}", "front", thread, self._microseconds(at), args)
            case End(reason, request, at, args):
                thread = self._trace.thread(Shared.REFUSED)
                more = {"request": request, **args}
                self._trace.instant(f"refused: {reason}", "front", thread, self._microseconds(at), more)
            case Counter(name, at, value):
                self._trace.counter(name, self._microseconds(at), value)
            case Closed():
                self._closed = entry

    @property
    def message(self) -> str:
        """What is missing of them; empty if nothing is."""
        if self._closed is None:
            return f"The server's own spans are incomplete: {TIMELINE} has no end." if self._entries else ""
        if self._closed.dropped:
            kept = self._entries - 1
            return f"{self._closed.dropped} of the server's own spans are missing in the trace: {kept} are kept."
        return ""


def moment_of(entry: Entry) -> float:
    """When an entry was written, on its own clock in nanoseconds."""
    match entry:
        case Span():
            return entry.end_ns
        case Closed():
            return float("inf")
    return entry.at_ns
