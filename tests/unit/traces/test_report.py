"""The page: whole and well-formed HTML that loads nothing, runs no script but its own, and says what the trace says."""

import base64
import gzip
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from genai_traces.events import FOOTER, HEADER, NotATrace
from genai_traces.join import join_traces
from genai_traces.quantiles import every, medians, quantile, ticks
from genai_traces.report import write_report
from genai_traces.tables import MOST_RUNS
from genai_traces.window_facts import WindowFacts
from genai_traces.wording import digits, duration, escape, percent, short_names
from support.synthetic_traces import Pod, three_pods, write_synthetic_trace

_VOID = {"meta", "input", "wbr", "br", "path"}
HOSTILE = "</script></title><img src=x onerror=alert(1)>\"'&\ud800\u202e\n"


class Page(HTMLParser):
    """What a browser would find: elements closed in order, texts, scripts and every attribute."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.scripts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._type = ""
        self.feed(self.text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "script":
            self._type = dict(attrs).get("type") or ""
            self.scripts.append((self._type, ""))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts[-1] = (self._type, self.scripts[-1][1] + data)
        elif self._open[-1:] != ["style"]:
            self.words += data


def of_three_pods(folder: Path, **options: Any) -> Page:
    sources = {pod.name: folder / pod.name for pod in three_pods()}
    for pod in three_pods():
        write_synthetic_trace(sources[pod.name], pod)
    facts = {name: WindowFacts(2, 30, "max_runs", 1.5) for name in sources}
    join_traces(sources, folder / "t.json.gz", facts)
    write_report(folder / "t.json.gz", folder / "r.html", **options)
    return Page(folder / "r.html")


def of_events(folder: Path, *events: dict[str, Any]) -> Page:
    lines = "".join(",\n" * bool(place) + json.dumps(event) for place, event in enumerate(events))
    (folder / "t").write_bytes(gzip.compress(f"{HEADER}\n{lines}{chr(10) * bool(events)}{FOOTER}\n".encode()))
    write_report(folder / "t", folder / "r.html")
    return Page(folder / "r.html")


def test_it_says_what_the_trace_says(tmp_path: Path) -> None:
    page = of_three_pods(tmp_path, title="hello", notes=["pod hello-9 is gone"])
    words = " ".join(page.words.split())
    for expected in (
        "GenAI profile hello",
        "Pods3",
        "Runs19212 prefill, 180 decode",
        "Dropped6runs; 90 more were not selected",
        "Overhead1.5 %",
        "pod hello-9 is gone",
        "MatMulNBits on CUDA takes",
        "tw6vd spends",
        "Operators, time a decode run",
        "Prefill against decode",
        "Share by provider",
        "Pod by pod",
        "network write",
        "All runs of the window.",
    ):
        assert expected in words, expected
    assert re.search(r"GroupQueryAttention CUDA[\d.]+ µs[\d.]+ µs\+1\d\d % [\d.]+ µs", words)
    assert page.tags.count("tr") == 3 + 4 + 7 + 5 + 193
    assert [each for each in page.tags if each == "svg"] == ["svg"] * 2


def test_it_loads_nothing_and_runs_only_its_own_script(tmp_path: Path) -> None:
    page = of_three_pods(tmp_path)
    assert not {"link", "img", "iframe", "object", "embed", "a", "base", "form"} & set(page.tags)
    assert not [
        each for each in page.attributes if each[1] in ("src", "href", "srcset", "action") or each[1][:2] == "on"
    ]
    assert not re.search(r"url\(|@import|https?:", page.text)
    ((_, _, policy),) = [each for each in page.attributes if each[1] == "content" and "default-src" in each[2]]
    (script,) = [text for kind, text in page.scripts if not kind]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert all(json.loads(text)["p"] for kind, text in page.scripts if kind == "application/json")


def test_foreign_text_stays_text(tmp_path: Path) -> None:
    def span(category: str, start: int, length: int, **args: Any) -> dict[str, Any]:
        event = {"name": HOSTILE, "cat": category, "ph": "X", "ts": start, "dur": length, "pid": 1, "tid": 1}
        return {**event, "args": args}

    name = {"name": "process_name", "ph": "M", "ts": 0, "pid": 1, "tid": 0, "args": {"name": HOSTILE}}
    facts = {"name": "genai_window", "ph": "M", "ts": 0, "pid": 1, "tid": 0, "args": {"message": HOSTILE}}
    page = of_events(
        tmp_path,
        name,
        {**name, "pid": 2},
        facts,
        span("run", 10, 100, kind=HOSTILE, requests={HOSTILE: 1}),
        span("op", 20, 50, op_type=HOSTILE, provider=HOSTILE),
        span("front", 200, 5),
        {**span("op", 300, 50, op_type="Other", provider=""), "pid": 2},
    )
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert page.words.count("onerror=alert(1)") >= 7
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert "\u202e" not in page.text


def test_a_trace_without_events(tmp_path: Path) -> None:
    words = of_events(tmp_path).words
    assert "This trace has no events." in words
    assert "The trace has no operators." in words


def test_spans_without_length_and_runs_without_requests(tmp_path: Path) -> None:
    event = {"name": "decode", "cat": "run", "ph": "X", "ts": 5, "dur": 0, "pid": 1, "tid": 1, "args": {}}
    operator = {**event, "name": "/x", "cat": "op"}
    prefill = {**event, "name": "prefill 0 tokens", "args": {"requests": {"a": 0}}}
    assert "Runs2" in of_events(tmp_path, event, operator, prefill).words


def test_of_many_runs_the_longest_are_listed_and_it_says_so(tmp_path: Path) -> None:
    write_synthetic_trace(tmp_path / "t", Pod("a", tokens=MOST_RUNS + 100, layers=1))
    write_report(tmp_path / "t", tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert f"The {MOST_RUNS} longest of 404 runs; the trace has all of them." in page.words
    assert page.tags.count("tr") == 3 + 5 + MOST_RUNS + 1
    assert "Pod by pod" not in page.words


def test_the_same_trace_makes_the_same_page(tmp_path: Path) -> None:
    assert of_three_pods(tmp_path).text == of_three_pods(tmp_path).text


def test_a_bad_trace_leaves_the_page_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(b"[]\n"))
    (tmp_path / "r.html").write_text("before")
    with pytest.raises(NotATrace):
        write_report(tmp_path / "t", tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_wording() -> None:
    assert [duration(each) for each in (0, 0.5, 812.4, 4210, 1_300_000)] == [
        "0 µs",
        "0.50 µs",
        "812 µs",
        "4.21 ms",
        "1.30 s",
    ]
    assert [digits(each) for each in (0.42, 42.06, 4210)] == ["0.42", "42.1", "4,210"]
    shares = (0, 0.0004, 0.042, 0.63, 0.996, 1)
    assert [percent(each) for each in shares] == ["0 %", "< 0.1 %", "4.2 %", "63 %", "99.6 %", "100 %"]
    assert escape("a\ud800<\x00b") == "a\ufffd&lt;\ufffdb"


def test_short_names() -> None:
    assert short_names(["m-7d9-aa", "m-7d9-bb"]) == {"m-7d9-aa": "aa", "m-7d9-bb": "bb"}
    assert short_names(["m-0", "m-0-b"]) == {"m-0": "0", "m-0-b": "0-b"}
    assert short_names(["m-0", "m-0"]) == {"m-0": "0"}
    assert short_names(["m-0"]) == {"m-0": "m-0"}


def test_quantiles() -> None:
    assert [quantile(range(1, 101), share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert quantile([], 0.5) == 0
    assert medians([(0, 1), (1, 9), (1.5, 3), (10, 4)], 2) == [(2.5 / 3, 3), (10, 4)]
    assert medians([(3, 1), (3, 2)], 40) == [(3, 1)]
    assert every([(1, 1)] * 3, 5) == [(1, 1)] * 3
    assert every([(each, 0) for each in range(10)], 4) == [(0, 0), (2, 0), (5, 0), (7, 0)]


@pytest.mark.parametrize("largest", [0.007, 0.9, 1, 7, 10, 11, 99, 100.5, 3999, 1e7])
def test_ticks_are_few_and_reach_the_largest(largest: float) -> None:
    marks = ticks(largest)
    assert marks[0] == 0
    assert largest * 0.998 <= marks[-1] <= largest * 1.5
    assert 3 <= len(marks) <= 7
    assert len({round(b - a, 9) for a, b in itertools.pairwise(marks)}) == 1
