"""Pods' traces become one: each pod a process of its own, side by side on the wall clock. Constant memory.

No event is left out, made up or moved: only ids that would collide are changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genai_traces.events import ASYNC, FLOWS, METADATA, Event, read_events
from genai_traces.window_facts import WINDOW, WindowFacts
from genai_traces.writing import EventWriter, open_events

_SHARED = FLOWS | ASYNC  # phases whose ids mean the same in all processes


@dataclass(frozen=True, slots=True)
class JoinedTrace:
    """What was written: `events` without metadata, `bytes` of the compressed file."""

    events: int
    bytes: int


def join_traces(
    sources: Mapping[str, Path], target: Path, facts: Mapping[str, WindowFacts] | None = None
) -> JoinedTrace:
    """Write the pods' traces as one to `target`, which may be one of them; pods are processes 1, 2, … in their order.

    `facts` of a pod go into the trace too, instead of any that its own trace carries. Raises `NotATrace`, OSError, and
    ValueError for no source; then `target` is as it was.
    """
    if not sources:
        raise ValueError("there is no trace to join: give at least one pod's")
    processes = 0
    with open_events(target) as out:
        for number, (pod, path) in enumerate(sources.items(), start=1):
            source = _Source(pod, number, processes, (facts or {}).get(pod), out)
            for event in read_events(path):
                source.copy(event)
            processes += source.finish()
    return JoinedTrace(out.events, target.stat().st_size)


class _Source:
    """One pod's events on their way. Its first process takes the pod's name, further ones get it in front of theirs."""

    def __init__(self, pod: str, number: int, processes: int, facts: WindowFacts | None, out: EventWriter) -> None:
        self._pod = pod
        self._number = number
        self._processes_before = processes
        self._facts = facts
        self._out = out
        self._processes: dict[int, int] = {}

    def copy(self, event: Event) -> None:
        """Write the event with ids that no other pod's events have."""
        process = self._process(event["pid"])
        event["pid"] = process
        if event["ph"] == METADATA and event["name"] == "process_name":
            event["args"] = {"name": self._name(process, event.get("args", {}))}
        elif event["ph"] == METADATA and event["name"] == "process_sort_index":
            event["args"] = {"sort_index": process}
        elif event["ph"] == METADATA and event["name"] == WINDOW and self._facts:
            event["args"] = self._facts.args()
            self._facts = None
        self._separate_ids(event)
        self._out.write(event)

    def finish(self) -> int:
        """How many processes the pod has; one that wrote nothing is shown, empty."""
        first = next(iter(self._processes.values()), None) or self._process(0)
        if self._facts:
            self._out.metadata(WINDOW, first, self._facts.args())
        return len(self._processes)

    def _process(self, pid: int) -> int:
        process = self._processes.get(pid)
        if process is None:
            process = self._processes[pid] = self._processes_before + len(self._processes) + 1
            # Its own name may come later, or never; a viewer takes the last one told.
            self._out.metadata("process_name", process, {"name": self._name(process, {"name": f"process {pid}"})})
            self._out.metadata("process_sort_index", process, {"sort_index": process})
        return process

    def _name(self, process: int, args: Event) -> str:
        if process == self._processes_before + 1:
            return self._pod
        return f"{self._pod} {args.get('name', process)}"

    def _separate_ids(self, event: Event) -> None:
        if event["ph"] in _SHARED and "id" in event:
            event["id"] = f"{self._number}:{event['id']}"
        if "bind_id" in event:
            event["bind_id"] = f"{self._number}:{event['bind_id']}"
        shared = event.get("id2")
        if isinstance(shared, dict) and "global" in shared:
            event["id2"] = shared | {"global": f"{self._number}:{shared['global']}"}
