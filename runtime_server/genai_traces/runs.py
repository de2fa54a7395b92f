"""The runs of the model in a trace: whose they were, how long they took, and which run an operator belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from genai_traces.events import METADATA, SPAN, Event, read_events

PREFILL: Final = "prefill"
DECODE: Final = "decode"


@dataclass(slots=True)
class RunSpan:
    """One run of the model. Times are microseconds, `start` since 1970.

    `requests`: by id, of a prefill how many tokens it computes, of a decode which token of the answer it makes, from 1.
    `operator_time` is the own time of the operators in it; only `summarise` counts it.
    """

    pod: str
    number: int
    kind: str
    start: float
    duration: float
    requests: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    cached: int = 0
    interrupted: bool = False
    operator_time: float = 0


class RunReader:
    """Hears all events of a trace in order. `runs` are those met, in the order of the file."""

    def __init__(self) -> None:
        self.runs: list[RunSpan] = []
        self._pods: dict[int, str] = {}
        self._latest: dict[int, RunSpan] = {}

    def add(self, event: Event) -> None:
        """Keep what tells of runs and of processes' names."""
        if event["ph"] == METADATA:
            if event["name"] == "process_name":
                self._pods[event["pid"]] = str(event.get("args", {}).get("name", ""))
        elif event["ph"] == SPAN and event.get("cat") == "run":
            run = _run(event, self.pod(event["pid"]))
            self._latest[event["pid"]] = run
            self.runs.append(run)

    def pod(self, pid: int) -> str:
        """The name of a process, as far as it was told."""
        return self._pods.get(pid) or f"process {pid}"

    def pods(self) -> list[str]:
        """All processes' names, by process."""
        return [self._pods[pid] for pid in sorted(self._pods)]

    def owner(self, event: Event) -> RunSpan | None:
        """The run that an operator is part of: its pod's latest, if the operator begins within it."""
        run = self._latest.get(event["pid"])
        return run if run and run.start <= event["ts"] <= run.start + run.duration else None


def read_runs(path: Path) -> list[RunSpan]:
    """The runs of a trace, in the order of the file. Raises `NotATrace`, OSError."""
    reader = RunReader()
    for event in read_events(path):
        reader.add(event)
    return reader.runs


def of_kind(runs: Iterable[RunSpan], kind: str | None) -> list[RunSpan]:
    """Those runs, or all for None."""
    return [run for run in runs if kind is None or run.kind == kind]


def _run(event: Event, pod: str) -> RunSpan:
    args = event.get("args", {})
    requests = args.get("requests")
    numbers = _numbers(requests)
    kind = args.get("kind") or event["name"].split(" ")[0]
    return RunSpan(
        pod,
        _number(args.get("run")),
        str(kind),
        event["ts"],
        event["dur"],
        numbers,
        _number(args.get("tokens")) or (sum(numbers.values()) if kind == PREFILL else len(numbers)),
        sum(_numbers(args.get("cached")).values()),
        args.get("interrupted") is True,
    )


def _numbers(value: Any) -> dict[str, int]:
    return {key: _number(number) for key, number in value.items()} if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if type(value) is int else 0
