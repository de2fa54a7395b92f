"""Joining: every event of every pod is in the result, once, in its pod's process; ids do not collide."""

import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_traces.check import problems
from genai_traces.events import FOOTER, HEADER, NotATrace, read_events
from genai_traces.join import JoinedTrace, join_traces
from genai_traces.window_facts import WINDOW, WindowFacts, window_facts
from support.synthetic_traces import Pod, three_pods, write_synthetic_trace

Event = dict[str, Any]
_BY_PROCESS = {"process_name", "process_sort_index", WINDOW}


def write(path: Path, events: list[Event]) -> Path:
    lines = ",\n".join(json.dumps(event) for event in events)
    path.write_bytes(
        gzip.compress(f"{HEADER}\n{lines}\n{FOOTER}\n".encode() if events else b"%s\n]}\n" % HEADER.encode())
    )
    return path


def processes(events: list[Event]) -> dict[int, str]:
    return {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}


def content(event: Event) -> str:
    """An event without what joining may change."""
    kept = {key: value for key, value in event.items() if key not in ("pid", "id", "id2", "bind_id")}
    return json.dumps(kept, sort_keys=True)


def test_pods_are_processes_side_by_side(tmp_path: Path) -> None:
    pods = three_pods()
    sources = {pod.name: tmp_path / pod.name for pod in pods}
    written = {pod.name: write_synthetic_trace(sources[pod.name], pod) for pod in pods}
    target = tmp_path / "joined.json.gz"
    joined = join_traces(sources, target)
    events = list(read_events(target))
    assert processes(events) == {number: pod.name for number, pod in enumerate(pods, start=1)}
    assert joined == JoinedTrace(sum(event["ph"] != "M" for event in events), target.stat().st_size)
    assert problems(target) == []
    for number, pod in enumerate(pods, start=1):
        mine = [content(event) for event in events if event["pid"] == number and event["name"] not in _BY_PROCESS]
        assert mine == [content(event) for event in written[pod.name] if event["name"] not in _BY_PROCESS]


def span(pid: int, **more: Any) -> Event:
    return {"name": "x", "cat": "c", "ph": "X", "ts": 7, "dur": 1, "pid": pid, "tid": 1, "args": {}} | more


def test_ids_that_all_processes_share_are_kept_apart(tmp_path: Path) -> None:
    events = [
        span(1, ph="s", id=4),
        span(1, ph="f", id=4),
        span(1, ph="b", id2={"global": "0x1"}),
        span(1, ph="e", id2={"local": "0x1"}),
        span(1, bind_id=9),
    ]
    sources = {name: write(tmp_path / name, events) for name in ("a", "b")}
    join_traces(sources, tmp_path / "joined")
    joined = [event for event in read_events(tmp_path / "joined") if event["ph"] != "M"]
    assert [event.get("id") for event in joined[:2]] == ["1:4", "1:4"]
    assert [event.get("id") for event in joined[5:7]] == ["2:4", "2:4"]
    assert [joined[each]["id2"] for each in (2, 3, 7)] == [{"global": "1:0x1"}, {"local": "0x1"}, {"global": "2:0x1"}]
    assert [joined[each]["bind_id"] for each in (4, 9)] == ["1:9", "2:9"]


def test_a_pod_of_several_processes_keeps_them(tmp_path: Path) -> None:
    name = {"name": "process_name", "ph": "M", "ts": 0, "pid": 8, "tid": 0, "args": {"name": "device"}}
    sources = {"a": write(tmp_path / "a", [span(3), span(8), name]), "b": write(tmp_path / "b", [span(8)])}
    join_traces(sources, tmp_path / "joined")
    events = list(read_events(tmp_path / "joined"))
    assert processes(events) == {1: "a", 2: "a device", 3: "b"}
    assert [event["pid"] for event in events if event["ph"] == "X"] == [1, 2, 3]


def test_facts_of_the_window_are_in_the_trace_once(tmp_path: Path) -> None:
    facts = {"a": WindowFacts(3, 90, "max_runs", 1.5, "3 runs are missing"), "b": WindowFacts()}
    source = write(tmp_path / "source", [span(1)])
    join_traces({"a": source, "b": source}, tmp_path / "once", facts)
    again = {"a": WindowFacts(4)}
    join_traces({"a": tmp_path / "once"}, tmp_path / "twice", again)
    found = [[window_facts(event) for event in read_events(tmp_path / name)] for name in ("once", "twice")]
    assert [[each for each in side if each] for side in found] == [list(facts.values()), [again["a"], facts["b"]]]


def test_facts_of_wrong_types_count_as_not_told() -> None:
    event = span(1, ph="M", name=WINDOW, args={"dropped_runs": "7", "skipped_runs": True, "overhead_percent": 2})
    assert window_facts(event) == WindowFacts(overhead_percent=2)
    assert window_facts(span(1)) is None


def test_the_target_may_be_a_source(tmp_path: Path) -> None:
    path = write(tmp_path / "t", [span(1)])
    assert join_traces({"a": path}, path).events == 1
    assert processes(list(read_events(path))) == {1: "a"}


def test_equal_sources_make_equal_files(tmp_path: Path) -> None:
    source = write(tmp_path / "s", [span(1)])
    for name in ("a", "b"):
        join_traces({"pod": source}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_bad_source_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good", [span(1)]), write(tmp_path / "bad", [span(1, ts="x")])
    target = tmp_path / "joined"
    target.write_text("before")
    with pytest.raises(NotATrace, match=r"bad, line 2: 'x': ts is 'x'"):
        join_traces({"a": good, "b": bad}, target)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good", "joined"]


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        join_traces({}, tmp_path / "t")


def test_memory_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    peaks = []
    for name, tokens in (("short", 20), ("long", 400)):
        write_synthetic_trace(tmp_path / name, Pod(name, tokens=tokens))
        tracemalloc.start()
        join_traces({name: tmp_path / name}, tmp_path / "joined")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 50_000


_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_EVENTS = st.lists(
    st.builds(
        lambda pid, tid, phase, name, ts, args: {
            "name": name,
            "cat": "c",
            "ph": phase,
            "ts": ts,
            "pid": pid,
            "tid": tid,
            **({"dur": ts % 97} if phase == "X" else {}),
            **({"id": ts % 5} if phase in "stfbne" else {}),
            "args": {"value": ts} if phase == "C" else {"text": args},
        },
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from("XXXXMCibnestf"),
        _TEXT | st.sampled_from(["thread_name", "process_labels"]),
        st.integers(0, 2**52),
        _TEXT,
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_TEXT, _EVENTS, min_size=1, max_size=4))
def test_no_event_is_lost_doubled_or_changed(pods: dict[str, list[Event]]) -> None:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        sources = {pod: write(place / f"source-{number}", events) for number, (pod, events) in enumerate(pods.items())}
        joined = join_traces(sources, place / "joined")
        events = list(read_events(place / "joined"))
    names = processes(events)
    for pod, mine in pods.items():
        own = {pid for pid, name in names.items() if name == pod or name.startswith(f"{pod} process ")}
        found = Counter(content(e) for e in events if e["pid"] in own and e["name"] not in _BY_PROCESS)
        if sum(name.startswith(pod) for name in pods) == 1:  # else names do not tell whose a process is
            assert found == Counter(content(event) for event in mine)
    everything = Counter(content(event) for events_of in pods.values() for event in events_of)
    assert Counter(content(event) for event in events if event["name"] not in _BY_PROCESS) == everything
    assert joined.events == sum(event["ph"] != "M" for each in pods.values() for event in each)
    threads = Counter((pod, e["pid"], e["tid"]) for pod, each in pods.items() for e in each)
    assert len({(e["pid"], e["tid"]) for e in events if e["name"] not in _BY_PROCESS}) == len(threads)
