"""Runs, operators' own times, comparisons and the strict check, on traces made by hand and by the pods' own merge."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.profiling.merge import merge
from genai_runtime.profiling.window import OpenWindow
from genai_traces.check import problems
from genai_traces.difference import OperatorDifference, compare
from genai_traces.events import FOOTER, HEADER
from genai_traces.join import join_traces
from genai_traces.operators import OperatorTime, operator_times
from genai_traces.runs import read_runs
from genai_traces.summary import summarise
from support.raw_runs import WINDOW_ID, capture, window
from support.synthetic_traces import CPU, Pod, three_pods, write_synthetic_trace

Event = dict[str, Any]


def write(path: Path, *events: Event) -> Path:
    names = [
        {"name": "process_name", "ph": "M", "ts": 0, "pid": 1, "tid": 0, "args": {"name": "pod"}},
        {"name": "thread_name", "ph": "M", "ts": 0, "pid": 1, "tid": 1, "args": {"name": "request a"}},
    ]
    lines = ",\n".join(json.dumps(event) for event in [*names, *events])
    path.write_bytes(gzip.compress(f"{HEADER}\n{lines}\n{FOOTER}\n".encode()))
    return path


def span(category: str, name: str, start: int, length: int, **args: Any) -> Event:
    return {"name": name, "cat": category, "ph": "X", "ts": start, "dur": length, "pid": 1, "tid": 1, "args": args}


def op(op_type: str, start: int, length: int, provider: str = CPU) -> Event:
    return span("op", f"/{op_type}", start, length, op_type=op_type, provider=provider)


def run(kind: str, start: int, length: int, tokens: int = 1) -> Event:
    return span("run", f"{kind} #{tokens}", start, length, run=start, kind=kind, requests={"a": tokens})


def test_own_times_of_nested_operators(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t",
        run("decode", 10, 200),
        op("If", 20, 100),
        op("MatMul", 30, 40),
        op("Add", 30, 10),
        op("Add", 80, 20),
        op("Softmax", 120, 60),
    )
    assert operator_times(path) == [
        OperatorTime("Softmax", CPU, 1, 60, 60 / 160, 1),
        OperatorTime("If", CPU, 1, 40, 40 / 160, 1),
        OperatorTime("Add", CPU, 2, 30, 30 / 160, 1),
        OperatorTime("MatMul", CPU, 1, 30, 30 / 160, 1),
    ]


def test_operators_of_one_kind_of_run(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t",
        run("prefill", 10, 100, 64),
        op("MatMul", 20, 80),
        run("decode", 200, 20),
        op("MatMul", 205, 10),
        run("decode", 300, 20),
        op("MatMul", 301, 14, "CUDAExecutionProvider"),
    )
    assert [(each.microseconds_per_run, each.runs) for each in operator_times(path, "prefill")] == [(80, 1)]
    decode = operator_times(path, "decode")
    assert [(each.provider, each.microseconds_per_run) for each in decode] == [("CUDAExecutionProvider", 7), (CPU, 5)]
    assert sum(each.microseconds for each in operator_times(path)) == 104
    assert operator_times(path, "verify") == []
    assert [(each.kind, each.tokens, each.operator_time) for each in summarise(path).runs] == [
        ("prefill", 64, 80),
        ("decode", 1, 10),
        ("decode", 1, 14),
    ]


def test_pods_that_run_at_the_same_time_keep_their_operators(tmp_path: Path) -> None:
    pods = three_pods()
    sources = {pod.name: tmp_path / pod.name for pod in pods}
    for pod in pods:
        write_synthetic_trace(sources[pod.name], pod)
    join_traces(sources, tmp_path / "joined")
    summary = summarise(tmp_path / "joined")
    assert summary.pods == [pod.name for pod in pods]
    for pod in pods:
        assert summary.operators("decode", pod.name) == operator_times(sources[pod.name], "decode")
        assert {run.pod for run in read_runs(sources[pod.name])} == {pod.name}
    assert summary.operators() == operator_times(tmp_path / "joined")
    assert all(0 < run.operator_time <= run.duration for run in summary.runs)
    assert len(summary.requests) == sum(len(pod.prompts) for pod in pods)


def test_what_grew_comes_first(tmp_path: Path) -> None:
    write_synthetic_trace(tmp_path / "before", Pod("a"))
    write_synthetic_trace(tmp_path / "after", Pod("a", growth={"GroupQueryAttention": 2.0}))
    first, *others = compare(tmp_path / "before", tmp_path / "after", "decode")
    assert first.op_type == "GroupQueryAttention"
    assert first.percent == pytest.approx(100, abs=3)
    assert all(abs(each.percent or 0) < 3 for each in others)
    assert all(each.microseconds == 0 for each in compare(tmp_path / "before", tmp_path / "before"))


def test_operators_that_are_new_or_gone(tmp_path: Path) -> None:
    before = write(tmp_path / "a", run("decode", 10, 50), op("MatMul", 20, 30))
    after = write(tmp_path / "b", run("decode", 10, 90), op("MatMul", 20, 30, "CUDAExecutionProvider"))
    assert compare(before, after) == [
        OperatorDifference("MatMul", CPU, 30, None),
        OperatorDifference("MatMul", "CUDAExecutionProvider", None, 30),
    ]
    assert [(each.microseconds, each.percent) for each in compare(before, after)] == [(-30, -100), (30, None)]


def test_a_trace_of_the_pods_own_merge(tmp_path: Path) -> None:
    opened = OpenWindow(window(), tmp_path)
    capture(opened, "a", "prefill", 128)
    capture(opened, "a", "decode", 1)
    capture(opened, "b", "decode", 2)
    opened.close("disabled")
    out = tmp_path / "t.json.gz"
    merged = merge(tmp_path / f"{WINDOW_ID}.raw", out, "hello-0")
    assert problems(out) == []
    runs = read_runs(out)
    assert [(run.pod, run.kind, run.requests, run.tokens) for run in runs] == [
        ("hello-0", "prefill", {"a": 128}, 128),
        ("hello-0", "decode", {"a": 1}, 1),
        ("hello-0", "decode", {"b": 2}, 1),
    ]
    times = operator_times(out)
    told = [(each.op_type, each.provider, each.microseconds_per_run) for each in merged.operators]
    assert [(each.op_type, each.provider, round(each.microseconds_per_run, 3)) for each in times] == told
    assert join_traces({"hello-0": out}, tmp_path / "joined").events == merged.events
    assert problems(tmp_path / "joined") == []


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([span("run", "a", 10, 10), span("run", "b", 15, 10)], "overlap in part at 15"),
        ([span("run", "a", 15, 10), span("run", "b", 10, 10)], "overlap in part at 15"),
        ([{**span("run", "a", 10, 10), "tid": 4}], "thread 4 of process 1 has no thread_name"),
        ([{**span("run", "a", 10, 10), "pid": 9}], "process 9 has no process_name"),
        ([{**span("run", "a", 10, 10), "ts": 0}], "line 4: 'a': ts is 0"),
        ([{**span("run", "a", 10, 10), "dur": -1}], "line 4: 'a': dur is -1"),
        ([{**span("c", "a", 10, 10), "ph": "s", "id": 1}], "begins without ends"),
        ([{"name": "thread_name", "ph": "M", "ts": 0, "pid": 1, "tid": 2, "args": {}}], "has no name"),
    ],
)
def test_problems_are_named(tmp_path: Path, events: list[Event], problem: str) -> None:
    assert any(problem in each for each in problems(write(tmp_path / "t", *events)))


def test_problems_are_counted_past_the_first(tmp_path: Path) -> None:
    found = problems(write(tmp_path / "t", *[{**span("run", "a", 10, 10), "dur": "x"}] * 30), most=5)
    assert len(found) == 6
    assert found[-1] == "and 25 more"


def test_a_file_of_another_form_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(b"[]\n"))
    (problem,) = problems(tmp_path / "t")
    assert problem.startswith("line 1: a trace begins with")
