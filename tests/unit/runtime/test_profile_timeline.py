"""What the server says of itself while a window is open: bounded, counted, and shown beside the runs."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from genai_runtime.profiling.merge import merge
from genai_runtime.profiling.timeline import TIMELINE, Closed, Counter, End, Span, Timeline, read_timeline
from genai_runtime.profiling.window import OpenWindow
from support.chrome_trace import counter, read_trace, spans, threads
from support.raw_runs import WINDOW_ID, capture, window, write_raw


@dataclass
class Request:
    """Whose spans they are."""

    request_id: str
    client: str = ""


A, B = Request("a"), Request("b", client="team")


def lines(raw: Path) -> list[object]:
    return [json.loads(line) for line in (raw / TIMELINE).read_text().splitlines()]


def test_while_no_window_is_open_nothing_is_kept(tmp_path: Path) -> None:
    timeline = Timeline()
    assert timeline.now() == 0
    timeline.span("queue", A, 5)
    timeline.request_ended("stop", A, {})
    timeline.begin(tmp_path / "w.raw")
    timeline.end(tmp_path / "w.raw")
    assert timeline.now() == 0
    timeline.span("queue", A, 5)
    assert list(read_timeline(tmp_path / "w.raw")) == [Closed(0)]


def test_what_is_said_can_be_read(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.counter("queue", 3)
    timeline.begin(tmp_path)
    began = timeline.now()
    timeline.span("tokenise", A, began, {"tokens": 7})
    timeline.span("queue", A, 0)  # began before the window
    timeline.counter("queue", 2)
    timeline.request_ended("length", A, {"completion_tokens": 4})
    timeline.end(tmp_path)
    before, span, now, end, closed = read_timeline(tmp_path)
    assert isinstance(before, Counter)
    assert isinstance(now, Counter)
    assert (before.name, before.value, now.value) == ("queue", 3, 2)
    assert isinstance(span, Span)
    assert (span.name, span.request, span.start_ns, span.args) == ("tokenise", "a", began, {"tokens": 7})
    assert began <= span.end_ns <= now.at_ns
    assert isinstance(end, End)
    assert (end.reason, end.request, end.args) == ("length", "a", {"completion_tokens": 4})
    assert closed == Closed(0)


def test_what_is_too_much_is_counted(tmp_path: Path) -> None:
    timeline = Timeline(most_entries=3)
    timeline.begin(tmp_path)
    for number in range(10):
        timeline.counter("queue", number)
    timeline.end(tmp_path)
    assert len(lines(tmp_path)) == 4
    assert list(read_timeline(tmp_path))[-1] == Closed(7)


def test_what_comes_with_every_token_leaves_room_for_the_rest(tmp_path: Path) -> None:
    timeline = Timeline(most_entries=10)
    timeline.begin(tmp_path)
    for _ in range(20):
        timeline.span("network write", A, timeline.now(), each_token=True)
    timeline.span("queue", B, timeline.now())
    timeline.request_ended("stop", B, {})
    timeline.request_ended("stop", A, {})
    timeline.end(tmp_path)
    entries = list(read_timeline(tmp_path))
    assert [type(entry) for entry in entries] == [*[Span] * 8, Span, End, Closed]
    assert entries[-1] == Closed(13)


def test_the_next_window_begins_anew(tmp_path: Path) -> None:
    timeline = Timeline(most_entries=2)
    first, second = tmp_path / "1", tmp_path / "2"
    timeline.begin(first)
    for _ in range(5):
        timeline.request_ended("stop", A, {})
    timeline.begin(second)
    timeline.end(first)  # the engine's last word of the window that was replaced
    assert timeline.recording
    timeline.request_ended("stop", B, {})
    timeline.end(second)
    assert not timeline.recording
    assert list(read_timeline(first))[-1] == Closed(3)
    assert [type(entry) for entry in read_timeline(second)] == [End, Closed]


def test_only_requests_that_are_wanted(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.begin(tmp_path, lambda owner: owner.client == "team")
    for owner in (A, B):
        timeline.span("queue", owner, timeline.now())
        timeline.request_ended("stop", owner, {})
    timeline.end(tmp_path)
    assert [line[2] for line in lines(tmp_path)[:-1]] == ["b", "b"]  # type: ignore[index]  # lists


def test_a_folder_that_cannot_be_written_costs_the_spans_only(tmp_path: Path) -> None:
    (tmp_path / "w.raw").write_text("a file in the way")
    heard: list[OSError] = []
    timeline = Timeline(report=heard.append)
    timeline.begin(tmp_path / "w.raw")
    assert not timeline.recording
    timeline.request_ended("stop", A, {})
    timeline.end(tmp_path / "w.raw")
    assert [type(error) for error in heard] == [FileExistsError]


def test_the_engine_makes_its_window_in_the_same_folder(tmp_path: Path) -> None:
    raw = tmp_path / f"{WINDOW_ID}.raw"
    timeline = Timeline()
    timeline.begin(raw)
    opened = OpenWindow(window(), tmp_path)
    capture(opened, "a", "decode", 1)
    opened.close("disabled")
    timeline.end(raw)
    assert merge(raw, tmp_path / "out", "pod").message == ""


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[",
        "null",
        "[]",
        "{}",
        '["span"]',
        '["span", "queue", "a", 9, 5, {}]',
        '["span", "queue", "a", "1", 5, {}]',
        '["span", "queue", "a", 0, 5, {}]',
        '["span", "queue", 7, 1, 5, {}]',
        '["counter", "queue", 5, "x"]',
        '["end", "stop", "a", -1, {}]',
        '["closed"]',
        '["other", 1]',
    ],
)
def test_bad_lines_are_skipped(tmp_path: Path, line: str) -> None:
    (tmp_path / TIMELINE).write_text(f'["counter","queue",5,1]\n{line}\n["counter","queue",6,2]\n["clo')
    assert list(read_timeline(tmp_path)) == [Counter("queue", 5, 1), Counter("queue", 6, 2)]


def test_no_file_is_no_entry(tmp_path: Path) -> None:
    assert list(read_timeline(tmp_path)) == []


class Window:
    """A window with its timeline, both by hand."""

    def __init__(self, folder: Path, most_entries: int = 1000) -> None:
        self.raw = folder / f"{WINDOW_ID}.raw"
        self.out = folder / "out.json.gz"
        self.opened = OpenWindow(window(), folder)
        self.timeline = Timeline(most_entries)
        self.timeline.begin(self.raw)

    def decode(self, requests: dict[str, int], **known: object) -> None:
        """One captured run."""
        prefix = self.opened.before_run("decode", requests)
        assert prefix is not None
        write_raw(prefix, ("/x", "Add", 5, 20))
        self.opened.after_run(**known)  # type: ignore[arg-type]  # fields by name

    def close(self) -> None:
        """The front's and the engine's last words."""
        self.timeline.end(self.raw)
        self.opened.close("disabled")


def test_the_server_s_own_spans_lie_beside_the_runs(tmp_path: Path) -> None:
    made = Window(tmp_path)
    timeline = made.timeline
    timeline.counter("queue", 1)
    began = timeline.now()
    for name in ("tokenise", "queue"):
        timeline.span(name, A, began)
        began = timeline.now()
    made.decode({"a": 1}, cached={"a": 16}, kv_tokens=48)
    began = timeline.now()
    made.opened.sampled(began, timeline.now())
    timeline.span("network write", A, began)
    made.decode({"a": 2, "b": 1}, cached={"a": 16, "b": 0}, kv_tokens=49)
    timeline.request_ended("stop", A, {"completion_tokens": 1})
    timeline.counter("queue", 0)
    made.close()
    summary = merge(made.raw, made.out, "pod")
    events = read_trace(made.out)
    names = threads(events)
    assert list(names.values()) == ["request a", "request a, answer", "batch", "request b"]
    front = [(span["name"], names[span["tid"]]) for span in spans(events, "front")]
    assert front == [("tokenise", "request a"), ("queue", "request a"), ("network write", "request a, answer")]
    first, second = spans(events, "run")
    assert (first["args"]["tokens"], first["args"]["cached"]) == (1, {"a": 16})
    assert (second["args"]["tokens"], second["args"]["cached"]) == (2, {"a": 16, "b": 0})
    (sample,) = spans(events, "engine")
    assert (sample["name"], sample["tid"], sample["args"]) == ("sample", first["tid"], {"run": 1})
    assert first["ts"] + first["dur"] <= sample["ts"]
    assert (counter(events, "batch size"), counter(events, "kv tokens")) == ([1, 2], [48, 49])
    assert counter(events, "queue") == [1, 0]
    (end,) = [event for event in events if event["ph"] == "i"]
    assert (end["name"], names[end["tid"]], end["args"]) == ("end: stop", "request a", {"completion_tokens": 1})
    assert end["ts"] >= second["ts"] + second["dur"]
    order = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
    places = {event["tid"]: event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"}
    shown = sorted(order, key=lambda name: places[order[name]])
    assert shown == ["batch", "request a", "request a, answer", "request b"]
    assert (summary.events, summary.message) == (len([event for event in events if event["ph"] != "M"]), "")


def test_dropped_spans_are_told(tmp_path: Path) -> None:
    made = Window(tmp_path, most_entries=2)
    for number in range(5):
        made.timeline.counter("queue", number)
    made.decode({"a": 1})
    made.close()
    summary = merge(made.raw, made.out, "pod")
    assert summary.message == "3 of the server's own spans are missing in the trace: 2 are kept."


def test_spans_of_a_server_that_died_are_told_to_be_incomplete(tmp_path: Path) -> None:
    made = Window(tmp_path)
    made.decode({"a": 1})
    made.close()
    (made.raw / TIMELINE).write_text('["counter","queue",5000000000,1]\n["counter","que')
    summary = merge(made.raw, made.out, "pod")
    assert "incomplete" in summary.message
    assert summary.runs == 1


def test_tokens_chosen_without_a_captured_run_are_not_noted(tmp_path: Path) -> None:
    made = Window(tmp_path)
    made.opened.sampled(1, 2)
    made.decode({"a": 1})
    assert made.opened.before_run("decode", {"a": 2}) is not None
    made.opened.after_run(interrupted=True)  # it left no file
    made.opened.sampled(1, 2)
    made.close()
    merge(made.raw, made.out, "pod")
    assert spans(read_trace(made.out), "engine") == []


def test_requests_that_were_refused_share_a_thread(tmp_path: Path) -> None:
    made = Window(tmp_path)
    for number in range(50):
        made.timeline.request_refused("overloaded", Request(f"r{number}"), {"seconds": 0.25})
    made.decode({"batch": 1})
    made.timeline.request_ended("stop", Request("batch"), {})
    made.close()
    merge(made.raw, made.out, "pod")
    events = read_trace(made.out)
    assert list(threads(events).values()) == ["refused", "request batch"]
    marks = [event for event in events if event["ph"] == "i"]
    assert {event["name"] for event in marks[:-1]} == {"refused: overloaded"}
    assert [event["args"] for event in marks[:2]] == [{"request": f"r{n}", "seconds": 0.25} for n in range(2)]
