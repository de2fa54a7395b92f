"""`python -m genai_runtime.profiling.merge RAW OUT --process NAME`: a window's raw runs become one trace.

A process of its own, of the lowest priority, because it is pure computing; it holds the list of runs and one raw file
at a time. What the server did beside the runs is put among them in the order of time. Prints one line of JSON with what
it wrote, or ends with status 1 and one line on stderr, and leaves no half-written trace.
"""

import argparse
import heapq
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from genai_runtime.profiling.manifest import MANIFEST, RUNNING, Manifest, RawFile, Run, read_manifest
from genai_runtime.profiling.own_events import OwnEvents, moment_of
from genai_runtime.profiling.session_run import Operator, SessionRun, UnreadableRun, read_session_run
from genai_runtime.profiling.summary import OperatorShare, OperatorTime, OperatorTotals
from genai_runtime.profiling.timeline import Entry, read_timeline
from genai_runtime.profiling.trace import Shared, TraceWriter, open_trace

TOP_OPERATORS = 10


class NothingCaptured(Exception):
    """There is no readable run in the folder."""


@dataclass(slots=True)
class MergeSummary:
    """What was merged. `dropped_runs` were in the window and are not in the trace; `message` says why."""

    runs: int = 0
    requests: int = 0
    dropped_runs: int = 0
    captured_bytes: int = 0
    events: int = 0
    trace_bytes: int = 0
    top_operators: list[OperatorShare] = field(default_factory=list)
    operators: list[OperatorTime] = field(default_factory=list)  # all kinds
    message: str = ""


class _Merge:
    def __init__(self, raw: Path, manifest: Manifest, trace: TraceWriter) -> None:
        self._raw = raw
        self._manifest = manifest
        self._trace = trace
        self._totals = OperatorTotals()
        self._requests: set[str] = set()
        self.own = OwnEvents(trace, self._microseconds)
        self.summary = MergeSummary()

    def add(self, run: Run) -> None:
        """Write one run, or count it as dropped."""
        self.summary.captured_bytes += sum(file.bytes for file in run.files)
        if run.dropped or not run.files:
            self.drop(run.dropped or "it left no file")
            return
        try:
            # Read whole before anything is written: a run is in the trace with all its files or not at all.
            sessions = [(file, read_session_run(self._raw / Path(file.name).name)) for file in run.files]
        except (UnreadableRun, OSError) as error:
            self.drop(f"its file is unreadable: {error}")
            return
        self._write(run, sessions)
        self._requests.update(run.requests)
        self.summary.runs += 1
        self.summary.requests = len(self._requests)

    def drop(self, why: str) -> None:
        """Count a run that cannot be shown; the last one's reason is told."""
        self.summary.dropped_runs += 1
        self.summary.message = f"{self.summary.dropped_runs} runs are missing in the trace; of the last one: {why}."

    def finish(self) -> MergeSummary:
        """The summary without the trace's size. Raises `NothingCaptured`."""
        if self.summary.runs == 0:
            raise NothingCaptured(self.summary.message or "No run of the model was captured.")
        self.summary.events = self._trace.events
        self.summary.message = " ".join(text for text in (self.summary.message, self.own.message) if text)
        self.summary.top_operators = self._totals.top(TOP_OPERATORS)
        self.summary.operators = self._totals.per_run(self.summary.runs)
        return self.summary

    def _write(self, run: Run, sessions: list[tuple[RawFile, SessionRun]]) -> None:
        start, end = self._microseconds(run.start_ns), self._microseconds(run.end_ns)
        thread = self._trace.thread(_owner(run))
        if run.kind == "decode":
            self._trace.counter("batch size", start, len(run.requests))
        self._trace.span(_title(run), "run", thread, start, end, _args(run))
        if len(run.requests) > 1:
            for request, tokens in run.requests.items():
                mine = {"run": run.run, "kind": run.kind, "tokens": tokens}
                self._trace.span(f"{run.kind} #{tokens}", "token", self._trace.thread(request), start, end, mine)
        free = start
        for file, session in sessions:
            free = self._write_session(run, session, self._microseconds(file.start_ns), (free, end))
        if run.kv_tokens >= 0:
            self._trace.counter("kv tokens", end, run.kv_tokens)
        if run.sampled is not None:
            began, chosen = (max(end, self._microseconds(moment)) for moment in run.sampled)
            self._trace.span("sample", "engine", thread, began, chosen, {"run": run.run})

    def _write_session(self, run: Run, session: SessionRun, named: int, free: tuple[int, int]) -> int:
        """Place a Session::Run in the `free` time of its run, not before `named` if it then fits; returns its end.

        `named` comes from the file's name and is exact to a millisecond only; the engine's clock tells when the call
        began: the later one of both is nearest to the truth.
        """
        earliest, end = free
        length = session.end - session.start
        start = max(earliest, min(named, end - length))
        stop = min(start + length, end)
        self._trace.span("Session::Run", "session", self._trace.thread(_owner(run)), start, stop, {})
        for operator in session.operators:
            self._write_operator(_owner(run), operator, start - session.start, stop)
        return stop

    def _write_operator(self, owner: str | Shared, operator: Operator, offset: int, stop: int) -> None:
        shapes = f"{operator.inputs} -> {operator.outputs}" if operator.inputs or operator.outputs else ""
        args = {"op_type": operator.op_type, "provider": operator.provider, "shapes": shapes}
        thread = self._trace.thread(owner, f"beside {operator.lane}" if operator.lane else "")
        begin, finish = (min(moment + offset, stop) for moment in (operator.start, operator.end))
        self._trace.span(operator.name, "op", thread, begin, finish, args)
        self._totals.add(operator.op_type, operator.provider, operator.own)

    def _microseconds(self, monotonic_ns: int) -> int:
        return (self._manifest.opened_unix_ns + monotonic_ns - self._manifest.opened_ns) // 1000


def merge(raw: Path, out: Path, process_name: str) -> MergeSummary:
    """Merge the raw folder into the trace `out`. Raises `NothingCaptured`, OSError; then there is no trace."""
    manifest = read_manifest(raw)
    with open_trace(out, process_name) as trace:
        merging = _Merge(raw, manifest, trace)
        for _, each in heapq.merge(_by_start(manifest.runs), _by_moment(raw), key=itemgetter(0)):
            if isinstance(each, Run):
                merging.add(each)
            else:
                merging.own.add(each)
        running = raw / RUNNING
        if running.is_dir() and any(running.iterdir()):
            merging.drop("it was in progress when the engine ended")
        summary = merging.finish()
    summary.trace_bytes = out.stat().st_size
    return summary


def _by_start(runs: list[Run]) -> Iterator[tuple[float, Run | Entry]]:
    return ((run.start_ns, run) for run in runs)


def _by_moment(raw: Path) -> Iterator[tuple[float, Run | Entry]]:
    return ((moment_of(entry), entry) for entry in read_timeline(raw))


def _args(run: Run) -> dict[str, Any]:
    """What is said of a run: its batch, how many tokens it computed, how many of the prompts' were cached."""
    tokens = sum(run.requests.values()) if run.kind == "prefill" else len(run.requests)
    args = {"run": run.run, "kind": run.kind, "requests": run.requests, "tokens": tokens, "cached": run.cached}
    return {**args, "interrupted": True} if run.interrupted else args


def _owner(run: Run) -> str | Shared:
    """The request whose thread shows the run, or the batch, whose thread shows runs of several."""
    return next(iter(run.requests)) if len(run.requests) == 1 else Shared.BATCH


def _title(run: Run) -> str:
    if len(run.requests) > 1:
        title = f"{run.kind} of {len(run.requests)} requests"
    else:
        (tokens,) = run.requests.values()
        title = f"prefill {tokens} tokens" if run.kind == "prefill" else f"{run.kind} #{tokens}"
    return f"{title} (interrupted)" if run.interrupted else title


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="genai_runtime.profiling.merge", description="Merge a window's raw runs.")
    parser.add_argument("raw", type=Path, help=f"folder with {MANIFEST}")
    parser.add_argument("out", type=Path, help="the trace to write, .trace.json.gz")
    parser.add_argument("--process", required=True, help="name of the process in the trace")
    parser.add_argument("--keep-raw", action="store_true", help="do not remove the raw folder afterwards")
    options = parser.parse_args()
    os.nice(19)
    try:
        summary = merge(options.raw, options.out, options.process)
    except (NothingCaptured, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not options.keep_raw:
        shutil.rmtree(options.raw, ignore_errors=True)
    sys.stdout.write(json.dumps(asdict(summary)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
