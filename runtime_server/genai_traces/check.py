"""Whether a trace is valid Chrome-trace JSON that Perfetto and chrome://tracing show in full, and if not, why.

Stricter than `read_events`: names, nesting and pairs are looked at too. Holds 16 bytes a span.
"""

from array import array
from collections import Counter
from pathlib import Path

from genai_traces.events import COUNTER, METADATA, SPAN, Event, NotATrace, field_problem, read_lines

MOST_PROBLEMS = 20
_Thread = tuple[int, int]


def problems(path: Path, most: int = MOST_PROBLEMS) -> list[str]:
    """What is wrong, in the order of the file; empty for a valid trace. After `most` it says how many more there are.

    Raises OSError.
    """
    check = _Check()
    try:
        for number, event in read_lines(path):
            check.look(number, event)
    except NotATrace as error:
        check.found.append(f"line {error.line}: {error.problem}")
    else:
        check.finish()
    more = len(check.found) - most
    return check.found[:most] + ([f"and {more} more"] if more > 0 else [])


class _Check:
    def __init__(self) -> None:
        self.found: list[str] = []
        self._spans: dict[_Thread, tuple[array[float], array[float]]] = {}
        self._processes: set[int] = set()
        self._named_processes: set[int] = set()
        self._threads: set[_Thread] = set()
        self._named_threads: set[_Thread] = set()
        self._flows: Counter[str] = Counter()

    def look(self, number: int, event: Event) -> None:
        """One event's fields; what has to do with others is kept."""
        problem = field_problem(event)
        if problem is None and event["ph"] != METADATA and event["ts"] <= 0:
            problem = f"{event['name']!r}: ts is 0, but times are microseconds since 1970"
        if problem:
            self.found.append(f"line {number}: {problem}")
            return
        thread = event["pid"], event["tid"]
        if event["ph"] == METADATA:
            self._look_at_name(event, thread)
            return
        self._processes.add(event["pid"])
        if event["ph"] != COUNTER:
            self._threads.add(thread)
        if event["ph"] == SPAN:
            starts, durations = self._spans.setdefault(thread, (array("d"), array("d")))
            starts.append(event["ts"])
            durations.append(event["dur"])
        elif event["ph"] in ("s", "f", "b", "e"):
            begins = event["ph"] in ("s", "b")
            self._flows[f"{event.get('cat')}/{event.get('id', event.get('id2'))}"] += 1 if begins else -1

    def finish(self) -> None:
        """What only the whole tells."""
        for pid in sorted(self._processes - self._named_processes):
            self.found.append(f"process {pid} has no process_name")
        for pid, tid in sorted(self._threads - self._named_threads):
            self.found.append(f"thread {tid} of process {pid} has no thread_name")
        for (pid, tid), (starts, durations) in sorted(self._spans.items()):
            overlap = _partial_overlap(starts, durations)
            if overlap is not None:
                self.found.append(f"thread {tid} of process {pid}: spans overlap in part at {overlap:.0f} µs")
        for name, count in sorted(self._flows.items()):
            if count:
                self.found.append(f"{name}: begins without ends or ends without begins ({count:+d})")

    def _look_at_name(self, event: Event, thread: _Thread) -> None:
        name = event.get("args", {}).get("name")
        if event["name"] in ("process_name", "thread_name") and not (isinstance(name, str) and name):
            self.found.append(f"a {event['name']} of process {event['pid']} has no name")
        elif event["name"] == "process_name":
            self._named_processes.add(event["pid"])
        elif event["name"] == "thread_name":
            self._named_threads.add(thread)


def _partial_overlap(starts: "array[float]", durations: "array[float]") -> float | None:
    """Where a span of a thread lies in another one in part only; None where all nest."""
    ends: list[float] = []
    for index in sorted(range(len(starts)), key=lambda each: (starts[each], -durations[each])):
        start, end = starts[index], starts[index] + durations[index]
        while ends and ends[-1] <= start:
            ends.pop()
        if ends and end > ends[-1]:
            return start
        ends.append(end)
    return None
