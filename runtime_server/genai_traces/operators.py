"""Which operators took the time in a trace: their own, without that of operators nested in them.

A thread's operators come in the order in which they began, as pods write them; so a stack a thread is all that is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genai_traces.events import SPAN, Event, read_events
from genai_traces.runs import RunReader, RunSpan

_CATEGORIES = frozenset({"op", "operator"})


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One kind of operator on one execution provider ("": a device's own kernels).

    `microseconds` is own time in all `runs` that were looked at together; `share` (0 to 1) is of all operators' time.
    """

    op_type: str
    provider: str
    calls: int
    microseconds: float
    share: float
    runs: int

    @property
    def microseconds_per_run(self) -> float:
        """Own time divided by the runs."""
        return self.microseconds / self.runs if self.runs else 0.0


@dataclass(slots=True)
class OwnTime:
    """An operator that was executed: `microseconds` without nested ones."""

    op_type: str
    provider: str
    end: float
    microseconds: float
    start: float
    pod: str
    run: RunSpan | None

    def credit(self) -> None:
        """Add it to its run."""
        if self.run:
            self.run.operator_time += self.microseconds


class OwnTimes:
    """Turns operators' spans into own times; each is given when nothing more can be nested in it."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], list[OwnTime]] = {}

    def add(self, event: Event, runs: RunReader) -> Iterator[OwnTime]:
        """Hear an event; yield what has ended before it in its thread."""
        if event["ph"] != SPAN or event.get("cat") not in _CATEGORIES:
            return
        start, duration = event["ts"], event["dur"]
        stack = self._open.setdefault((event["pid"], event["tid"]), [])
        # An equal begin is nested, unless the one before has taken no time at all.
        while stack and (stack[-1].end <= start or start < stack[-1].start):
            yield stack.pop()
        if stack:
            stack[-1].microseconds -= min(duration, stack[-1].end - start)
        args = event.get("args", {})
        op_type, provider = (str(args.get(key, "")) for key in ("op_type", "provider"))
        run = runs.owner(event)
        pod = runs.pod(event["pid"])
        stack.append(OwnTime(op_type or event["name"], provider, start + duration, duration, start, pod, run))

    def rest(self) -> Iterator[OwnTime]:
        """Yield what was still open at the trace's end."""
        for stack in self._open.values():
            yield from reversed(stack)
        self._open.clear()


class OperatorTally:
    """Adds up own times by (op_type, provider)."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], int] = {}
        self._microseconds: dict[tuple[str, str], float] = {}

    def add(self, done: OwnTime) -> None:
        """Count one execution."""
        key = (done.op_type, done.provider)
        self._calls[key] = self._calls.get(key, 0) + 1
        self._microseconds[key] = self._microseconds.get(key, 0) + done.microseconds

    def times(self, runs: int) -> list[OperatorTime]:
        """The costliest first; equal ones by more calls, then by name."""
        total = sum(self._microseconds.values())
        order = sorted(self._calls, key=lambda key: (-self._microseconds[key], -self._calls[key], key))
        return [
            OperatorTime(
                *key,
                self._calls[key],
                self._microseconds[key],
                self._microseconds[key] / total if total else 0.0,
                runs,
            )
            for key in order
        ]


def operator_times(path: Path, kind: str | None = None) -> list[OperatorTime]:
    """The operators of a trace, the costliest first; of the runs of one kind ("prefill", "decode") if given.

    Raises `NotATrace`, OSError.
    """
    runs, own, tally = RunReader(), OwnTimes(), OperatorTally()

    def count(done: OwnTime) -> None:
        if kind is None or (done.run and done.run.kind == kind):
            tally.add(done)

    for event in read_events(path):
        runs.add(event)
        for done in own.add(event, runs):
            count(done)
    for done in own.rest():
        count(done)
    return tally.times(sum(1 for run in runs.runs if kind is None or run.kind == kind))
