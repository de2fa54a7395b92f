"""Raw runs become one trace that is valid, ordered and nested, whatever the raw files look like."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.profiling.merge import NothingCaptured, merge
from genai_runtime.profiling.session_run import UnreadableRun, read_session_run
from genai_runtime.profiling.window import OpenWindow
from support.chrome_trace import Event, inside, read_trace, spans
from support.raw_runs import STAMP, WINDOW_ID, capture, node, raw_events, window, write_raw


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenWindow]:
    opened = OpenWindow(window(), tmp_path)
    yield opened
    opened.close("disabled")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / f"{WINDOW_ID}.raw"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / f"{WINDOW_ID}.trace.json.gz"


def names(events: list[Event], key: str) -> list[str]:
    return [event["args"]["name"] for event in events if event["ph"] == "M" and event["name"] == key]


def test_process_thread_run_and_operators(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "prefill", 128)
    capture(opened, "b", "prefill", 5)
    capture(opened, "a", "decode", 1)
    summary = merge(raw, out, "hello-7d9f-x2x")
    events = read_trace(out)
    assert names(events, "process_name") == ["hello-7d9f-x2x"]
    assert names(events, "thread_name") == ["request a", "request b"]
    runs = spans(events, "run")
    assert [(run["name"], run["tid"]) for run in runs] == [
        ("prefill 128 tokens", 1),
        ("prefill 5 tokens", 2),
        ("decode #1", 1),
    ]
    assert (summary.runs, summary.requests, summary.dropped_runs, summary.message) == (3, 2, 0, "")
    assert summary.events == len([event for event in events if event["ph"] != "M"])
    assert summary.trace_bytes == out.stat().st_size
    for run in runs:
        operators = inside(events, run)
        assert [operator["name"] for operator in operators] == ["/embed", "/head"]
        assert operators[0]["args"] == {
            "op_type": "Gather",
            "provider": "CPUExecutionProvider",
            "shapes": "float[1,768] int64[1,1] -> float[1,768]",
        }
        assert sum(operator["dur"] for operator in operators) <= run["dur"]
    assert [(op.op_type, op.calls) for op in summary.top_operators] == [("MatMul", 3), ("Gather", 3)]


def test_a_run_of_several_requests_is_the_batchs_and_each_requests(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "prefill", 12)
    prefix = opened.before_run("decode", {"a": 1, "b": 44})
    assert prefix is not None
    write_raw(prefix, ("/x", "Add", 5, 20))
    opened.after_run()
    summary = merge(raw, out, "pod")
    events = read_trace(out)
    assert names(events, "thread_name") == ["request a", "batch", "request b"]
    run = spans(events, "run")[1]
    assert (run["name"], run["args"]["requests"]) == ("decode of 2 requests", {"a": 1, "b": 44})
    assert [operator["name"] for operator in inside(events, run)] == ["/x"]
    tokens = spans(events, "token")
    assert [(span["name"], span["tid"], span["ts"], span["dur"]) for span in tokens] == [
        ("decode #1", 1, run["ts"], run["dur"]),
        ("decode #44", 3, run["ts"], run["dur"]),
    ]
    assert (summary.runs, summary.requests) == (2, 2)


def test_runs_lie_on_the_axis_of_the_wall_clock(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1)
    capture(opened, "a", "decode", 2)
    merge(raw, out, "pod")
    lines = [json.loads(line) for line in (raw / "runs.jsonl").read_text().splitlines()]
    unix_us, base_ns = lines[0]["opened_unix_ns"] // 1000, lines[0]["opened_ns"]
    for line, run in zip(lines[1:], spans(read_trace(out), "run"), strict=True):
        assert abs(run["ts"] - unix_us - (line["start_ns"] - base_ns) / 1000) <= 1
        assert abs(run["dur"] - (line["end_ns"] - line["start_ns"]) / 1000) <= 1


def test_files_of_one_run_follow_each_other(opened: OpenWindow, raw: Path, out: Path) -> None:
    prefix = opened.before_run("prefill", {"a": 64})
    assert prefix is not None
    for millisecond in range(3):
        write_raw(prefix, ("/x", "Add", 5, 20), length=30, stamp=f"_2026-11-21_05-15-45_{millisecond:03d}.json")
    opened.after_run()
    summary = merge(raw, out, "pod")
    events = read_trace(out)
    assert [run["name"] for run in spans(events, "run")] == ["prefill 64 tokens"]
    assert len(spans(events, "session")) == 3
    assert (summary.runs, summary.top_operators[0].calls) == (1, 3)


def test_an_operator_within_another_counts_its_own_time_only(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1, ("/inner", "MatMul", 20, 30), ("/if", "If", 10, 60))
    summary = merge(raw, out, "pod")
    read_trace(out)
    assert [(op.op_type, round(op.share, 3)) for op in summary.top_operators] == [("If", 0.5), ("MatMul", 0.5)]


def test_partial_overlaps_are_cut(tmp_path: Path) -> None:
    path = write_raw(str(tmp_path / "r1"), ("/late", "C", 90, 50), ("/b", "B", 25, 30), ("/a", "A", 10, 20), length=100)
    session = read_session_run(path)
    assert [(op.name, op.start, op.end, op.own) for op in session.operators] == [
        ("/a", 10, 30, 15),
        ("/b", 25, 30, 5),
        ("/late", 90, 102, 12),
    ]


def test_what_runs_beside_the_model_has_its_own_thread(opened: OpenWindow, raw: Path, out: Path) -> None:
    prefix = opened.before_run("decode", {"a": 1})
    assert prefix is not None
    kernel = node(("gemm_kernel", "", 15, 60), category="Kernel", thread=99, provider="CUDAExecutionProvider")
    events = raw_events(node(("/a", "MatMul", 10, 20)), kernel, node(("/b", "Add", 31, 5)))
    Path(prefix + STAMP).write_text(json.dumps(events))
    opened.after_run()
    merge(raw, out, "pod")
    trace = read_trace(out)
    assert names(trace, "thread_name") == ["request a", "request a, beside 1"]
    assert [op["tid"] for op in spans(trace, "op")] == [1, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        '[{"cat" : "Node","pid" :1,',
        "[]",
        "{}",
        "null",
        '[{"cat": "Session", "name": "model_run", "ph": "X", "ts": 1, "tid": 1}]',
        '[{"cat": "Session", "name": "model_run", "ph": "X", "ts": -1, "dur": 5, "tid": 1}]',
        '[{"cat": "Session", "name": "model_run", "ph": "X", "ts": "x", "dur": 5, "tid": 1}]',
        "[1, 2]",
        "\x00\x01",
    ],
)
def test_a_bad_file_drops_its_run_and_no_other(opened: OpenWindow, raw: Path, out: Path, text: str) -> None:
    capture(opened, "a", "decode", 1)
    bad = capture(opened, "a", "decode", 2)
    capture(opened, "a", "decode", 3)
    (raw / bad.name).write_text(text)
    summary = merge(raw, out, "pod")
    assert [run["name"] for run in spans(read_trace(out), "run")] == ["decode #1", "decode #3"]
    assert (summary.runs, summary.dropped_runs) == (2, 1)
    assert "unreadable" in summary.message


def test_a_raw_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "r1.json"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(UnreadableRun, match="larger than"):
        read_session_run(path)


def test_an_engine_that_died_in_a_run_loses_that_run_only(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1)
    prefix = opened.before_run("decode", {"a": 2})
    assert prefix is not None
    Path(prefix + STAMP).write_text("[\n")
    with (raw / "runs.jsonl").open("a") as manifest:
        manifest.write('{"run": 2, "requ')
    summary = merge(raw, out, "pod")
    assert (summary.runs, summary.dropped_runs) == (1, 1)
    assert "in progress" in summary.message


def test_a_manifest_cannot_name_a_file_elsewhere(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1)
    outside = write_raw(str(raw.parent / "outside"), ("/x", "Secret", 5, 20))
    text = (raw / "runs.jsonl").read_text()
    inside_name = next(raw.glob("r0*.json")).name
    (raw / "runs.jsonl").write_text(text.replace(inside_name, f"../{outside.name}"))
    with pytest.raises(NothingCaptured, match="unreadable"):
        merge(raw, out, "pod")


def test_an_interrupted_run_says_so(opened: OpenWindow, raw: Path, out: Path) -> None:
    prefix = opened.before_run("prefill", {"a": 900})
    assert prefix is not None
    write_raw(prefix, ("/x", "Add", 5, 20))
    opened.after_run(interrupted=True)
    merge(raw, out, "pod")
    assert [run["name"] for run in spans(read_trace(out), "run")] == ["prefill 900 tokens (interrupted)"]


def test_any_request_id_is_valid_json(opened: OpenWindow, raw: Path, out: Path) -> None:
    name = 'a"\\\n\u2028😀</script>'
    capture(opened, name, "decode", 1)
    merge(raw, out, "pod")
    assert names(read_trace(out), "thread_name") == [f"request {name}"]


def test_nothing_captured_leaves_no_trace(opened: OpenWindow, raw: Path, out: Path) -> None:
    with pytest.raises(NothingCaptured, match="No run"):
        merge(raw, out, "pod")
    assert [path.name for path in raw.parent.iterdir()] == [raw.name]


def run_command(raw: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genai_runtime.profiling.merge", str(raw), str(out), "--process", "pod", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))


def test_the_command_prints_one_line_and_removes_the_raw_runs(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1)
    kept = run_command(raw, out, "--keep-raw")
    assert raw.is_dir()
    done = run_command(raw, out)
    assert not raw.exists()
    summary = json.loads(done.stdout)
    assert json.loads(kept.stdout)["events"] == summary["events"]
    assert (summary["runs"], summary["trace_bytes"], done.stderr) == (1, out.stat().st_size, "")
    assert [share["op_type"] for share in summary["top_operators"]] == ["MatMul", "Gather"]
    read_trace(out)


def test_the_command_fails_in_one_line_and_keeps_the_raw_runs(opened: OpenWindow, raw: Path, out: Path) -> None:
    capture(opened, "a", "decode", 1)
    failed = run_command(raw, out.parent / "absent" / out.name)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert len(failed.stderr.splitlines()) == 1
    assert "absent" in failed.stderr
    assert raw.is_dir()
