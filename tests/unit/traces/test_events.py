"""The reader takes exactly the form that pods write, and says where anything else departs from it."""

import gzip
import json
from pathlib import Path

import pytest

from genai_traces.events import FOOTER, HEADER, LONGEST_LINE, NotATrace, read_events
from support.synthetic_traces import Pod, write_synthetic_trace

EVENT = {"name": "x", "cat": "run", "ph": "X", "ts": 5, "dur": 2, "pid": 1, "tid": 1, "args": {}}


def written(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes(gzip.compress(("\n".join(lines) + end).encode("utf-8", "surrogatepass")))
    return path


def line(**changes: object) -> str:
    return json.dumps({key: value for key, value in (EVENT | changes).items() if value is not None})


def refusal(path: Path) -> NotATrace:
    with pytest.raises(NotATrace) as caught:
        list(read_events(path))
    assert str(path) in str(caught.value)
    return caught.value


def test_events_come_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    events = write_synthetic_trace(path, Pod("hello-0"))
    assert list(read_events(path)) == events
    assert len(events) > 2000


def test_a_trace_without_events(tmp_path: Path) -> None:
    assert list(read_events(written(tmp_path / "t", HEADER, FOOTER))) == []


@pytest.mark.parametrize(
    ("lines", "number", "problem"),
    [
        (("[", line(), "]"), 1, "begins with"),
        (('{"traceEvents":[', FOOTER), 1, "begins with"),
        ((HEADER, line(), line(), FOOTER), 3, "one comma"),
        ((HEADER, line() + ",", FOOTER), 3, "one comma"),
        ((HEADER, line() + ",,", line(), FOOTER), 2, "JSON"),
        ((HEADER, line() + "," + line(), FOOTER), 2, "JSON"),
        ((HEADER, "[]", FOOTER), 2, "one JSON object"),
        ((HEADER, line(ts=float("nan")), FOOTER), 2, "NaN"),
        ((HEADER, "[" * 100_000, FOOTER), 2, "JSON"),
        ((HEADER, "", FOOTER), 2, "JSON"),
        ((HEADER, line()), 3, "cut off"),
        ((HEADER, line(), FOOTER, "x"), 4, "follows the end"),
        ((HEADER, line(ph="Q"), FOOTER), 2, "phase 'Q'"),
        ((HEADER, line(ph=["X"]), FOOTER), 2, "phase"),
        ((HEADER, line(name=""), FOOTER), 2, "no name"),
        ((HEADER, line(pid=True), FOOTER), 2, "pid is True"),
        ((HEADER, line(tid=2**31), FOOTER), 2, "tid"),
        ((HEADER, line(ts=-1), FOOTER), 2, "ts is -1"),
        ((HEADER, line(dur=None), FOOTER), 2, "dur is None"),
        ((HEADER, line(args=[]), FOOTER), 2, "args is not an object"),
        ((HEADER, line(cat=7), FOOTER), 2, "cat is not text"),
        ((HEADER, line(ph="s"), FOOTER), 2, "needs an id"),
        ((HEADER, line(ph="C"), FOOTER), 2, "counter"),
        ((HEADER, line(ph="C", args={"value": "7"}), FOOTER), 2, "counter"),
    ],
)
def test_another_form_is_refused_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], number: int, problem: str
) -> None:
    error = refusal(written(tmp_path / "t", *lines))
    assert (error.line, problem in error.problem) == (number, True), error


def test_a_line_without_end_is_not_read_whole(tmp_path: Path) -> None:
    error = refusal(written(tmp_path / "t", HEADER, "x" * (LONGEST_LINE + 5), FOOTER))
    assert "longer than" in error.problem


def test_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(HEADER.encode() + b"\n\xff\n]}\n"))
    assert "UTF-8" in refusal(path).problem


def test_a_cut_off_file_tells_how_far_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_synthetic_trace(path, Pod("hello-0"))
    path.write_bytes(path.read_bytes()[:-2000])
    error = refusal(path)
    assert "cut off" in error.problem
    assert error.line > 1000


def test_no_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(HEADER)
    assert "gzip" in refusal(path).problem
