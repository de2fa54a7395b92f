"""All that the report shows of a trace, gathered in one pass: runs, operators by pod and kind of run, our own spans.

Memory grows with the runs and the kinds of operators, not with the events.
"""

from dataclasses import dataclass, field
from pathlib import Path

from genai_traces.events import COUNTER, METADATA, SPAN, Event, read_events
from genai_traces.operators import OperatorTally, OperatorTime, OwnTime, OwnTimes
from genai_traces.runs import RunReader, RunSpan, of_kind
from genai_traces.window_facts import WindowFacts, window_facts

_OWN = frozenset({"front", "engine"})


@dataclass(slots=True)
class SpanTotal:
    """Our own spans of one name: how many, and microseconds in all and of the longest."""

    count: int = 0
    microseconds: float = 0
    longest: float = 0


@dataclass(slots=True)
class TraceSummary:
    """A trace's content. Times are microseconds; `start` and `end` since 1970, 0 for a trace without events."""

    pods: list[str] = field(default_factory=list)
    runs: list[RunSpan] = field(default_factory=list)
    facts: dict[str, WindowFacts] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)
    own_spans: dict[str, SpanTotal] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)  # the largest value of each
    events: int = 0
    start: float = 0
    end: float = 0
    tallies: dict[tuple[str, str], OperatorTally] = field(default_factory=dict)  # by pod and kind of run
    whole: dict[str, OperatorTally] = field(default_factory=dict)  # by kind of run; "": all

    def operators(self, kind: str | None = None, pod: str | None = None) -> list[OperatorTime]:
        """The costliest first; of one kind of run, or of one kind in one pod."""
        runs = [run for run in of_kind(self.runs, kind) if pod is None or run.pod == pod]
        tally = self.whole.get(kind or "") if pod is None else self.tallies.get((pod, kind or ""))
        return tally.times(len(runs)) if tally else []


def summarise(path: Path) -> TraceSummary:
    """Read a trace once. Raises `NotATrace`, OSError."""
    summary, runs, own = TraceSummary(), RunReader(), OwnTimes()
    for event in read_events(path):
        runs.add(event)
        for done in own.add(event, runs):
            _count(summary, done)
        _look(summary, event, runs)
    for done in own.rest():
        _count(summary, done)
    summary.pods, summary.runs = runs.pods(), runs.runs
    for run in runs.runs:
        summary.requests.update(run.requests)
    return summary


def _count(summary: TraceSummary, done: OwnTime) -> None:
    done.credit()
    kind = done.run.kind if done.run else ""
    for each in {"", kind}:
        summary.whole.setdefault(each, OperatorTally()).add(done)
        summary.tallies.setdefault((done.pod, each), OperatorTally()).add(done)


def _look(summary: TraceSummary, event: Event, runs: RunReader) -> None:
    if event["ph"] == METADATA:
        facts = window_facts(event)
        if facts:
            summary.facts[runs.pod(event["pid"])] = facts
        return
    summary.events += 1
    start, duration = event["ts"], event.get("dur", 0)
    summary.start = min(summary.start or start, start)
    summary.end = max(summary.end, start + duration)
    if event["ph"] == COUNTER:
        for value in event["args"].values():
            summary.counters[event["name"]] = max(summary.counters.get(event["name"], value), value)
    elif event["ph"] == SPAN and event.get("cat") in _OWN:
        total = summary.own_spans.setdefault(event["name"], SpanTotal())
        total.count += 1
        total.microseconds += duration
        total.longest = max(total.longest, duration)
