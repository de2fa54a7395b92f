"""A strict reading of the Chrome-trace format, as Perfetto and chrome://tracing need it; raises AssertionError."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def read_trace(path: Path) -> list[Event]:
    """The events of a merged trace, checked: JSON, required fields, order and nesting within threads."""
    document = json.loads(gzip.decompress(path.read_bytes()))
    assert document["displayTimeUnit"] in ("ms", "ns")
    events: list[Event] = document["traceEvents"]
    threads: dict[tuple[int, int], list[Event]] = defaultdict(list)
    named: set[tuple[int, int]] = set()
    processes: set[int] = set()
    counters: dict[tuple[int, str], int] = {}
    for event in events:
        _check_fields(event)
        place = (event["pid"], event["tid"])
        if event["ph"] == "X":
            threads[place].append(event)
        elif event["ph"] == "i":
            threads.setdefault(place, [])
        elif event["ph"] == "C":
            key = event["pid"], event["name"]
            assert event["ts"] >= counters.get(key, 0), f"{event['name']} goes back in time"
            counters[key] = event["ts"]
        elif event["name"] == "process_name":
            processes.add(event["pid"])
        elif event["name"] == "thread_name":
            named.add(place)
    assert set(threads) <= named, "a thread without a name"
    assert {pid for pid, _ in threads} <= processes, "a process without a name"
    for spans in threads.values():
        check_nesting(spans)
    return events


def check_nesting(spans: list[Event]) -> None:
    """Within a thread, begins never go back, and a span lies in another one wholly or not at all."""
    ends: list[int] = []
    last = 0
    for span in spans:
        begin, end = span["ts"], span["ts"] + span["dur"]
        assert begin >= last, f"{span['name']} begins before the one ahead of it"
        last = begin
        while ends and ends[-1] <= begin:
            ends.pop()
        assert not ends or end <= ends[-1], f"{span['name']} overlaps another one in part"
        ends.append(end)


def spans(events: list[Event], category: str) -> list[Event]:
    """The complete events of one category, in the order of the file."""
    return [event for event in events if event["ph"] == "X" and event["cat"] == category]


def inside(events: list[Event], outer: Event) -> list[Event]:
    """The operators of `outer`'s thread within its span."""
    end = outer["ts"] + outer["dur"]
    return [
        event
        for event in spans(events, "op")
        if event["tid"] == outer["tid"] and outer["ts"] <= event["ts"] and event["ts"] + event["dur"] <= end
    ]


def counter(events: list[Event], name: str) -> list[int]:
    """The values of a counter, in the order of the file."""
    return [event["args"]["value"] for event in events if event["ph"] == "C" and event["name"] == name]


def threads(events: list[Event]) -> dict[int, str]:
    """Names by thread."""
    return {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}


def _check_fields(event: Event) -> None:
    assert event["ph"] in ("X", "M", "C", "i"), event
    assert isinstance(event["name"], str), event
    assert event["name"], event
    for key in ("pid", "tid", "ts"):
        assert type(event[key]) is int, event
    assert isinstance(event["args"], dict), event
    if event["ph"] == "X":
        assert type(event["dur"]) is int, event
        assert event["dur"] >= 0, event
    if event["ph"] in "Xi":
        assert isinstance(event["cat"], str), event
    if event["ph"] == "i":
        assert event["s"] == "t", event
    if event["ph"] == "C":
        assert event["args"], event
        assert all(type(value) in (int, float) for value in event["args"].values()), event
    if event["ph"] != "M":
        assert event["ts"] > 0, event
