"""One picture of what a pod did: requests of a real server, on the hello model, in the trace of a window."""

import asyncio
import os
import shutil
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.front.ports import WantedWindow
from genai_runtime.profiling.record import Profile
from genai_runtime.profiling.selection import Selection
from genai_traces.check import problems
from support.chrome_trace import Event, counter, read_trace, spans, threads
from support.engines import prompt_of
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, holds

pytestmark = pytest.mark.model

SHELL = os.environ.get("PERFETTO_TRACE_PROCESSOR") or shutil.which("trace_processor_shell")
KEPT = 48  # tokens of a prompt that a second one like it finds in the prefix cache
TOKENS = 12
LONG = 250


@dataclass(frozen=True)
class Taken:
    """A window's trace, read, and what the pod says of it; `chosen` is another one's, of one request."""

    path: Path
    profile: Profile
    events: list[Event]
    chosen: list[Event]

    @cached_property
    def names(self) -> dict[int, str]:
        """Of the threads."""
        return threads(self.events)

    def of(self, thread: str) -> list[Event]:
        """The spans of one thread."""
        return [event for event in self.events if event["ph"] == "X" and self.names[event["tid"]] == thread]

    def ends(self) -> dict[str, Event]:
        """The end of each request, by the thread's name."""
        return {self.names[event["tid"]]: event for event in self.events if event["ph"] == "i"}


def generate(served: HelloServer, request_id: str, prompt: list[int], max_tokens: int = TOKENS) -> Any:
    options = pb.GenerationOptions(max_tokens=max_tokens, ignore_eos=True)
    return served.genai.Generate(
        pb.GenerateRequest(token_ids=pb.TokenIds(ids=prompt), request_id=request_id, options=options)
    )


async def requests_of_all_kinds(served: HelloServer) -> None:
    """Two rows: `a` and `b` run, `c` waits for a row and finds `a`'s prompt; `d` is cancelled; `e` is refused."""
    prompt = prompt_of(KEPT + 1)
    calls = [generate(served, "a", prompt, LONG), generate(served, "b", prompt_of(9, 1), LONG)]
    tasks = [asyncio.create_task(collect(call)) for call in calls]
    await holds(lambda: served.sample("genai_requests_running") == 2)
    tasks.append(asyncio.create_task(collect(generate(served, "c", prompt))))
    await holds(lambda: served.sample("genai_requests_waiting") == 1)
    for messages, error in await asyncio.gather(*tasks):
        assert error is None
        assert messages[-1].finish.reason == pb.FINISH_REASON_LENGTH
    cancelled = generate(served, "d", prompt_of(5, 2), 500)
    await cancelled.read()
    cancelled.cancel()
    await holds(lambda: served.sample("genai_requests_running") == 0)
    _, refused = await collect(generate(served, "e", [10**6]))
    assert refused is not None


async def two_requests(served: HelloServer) -> None:
    """`x` and `y`, at the same time."""
    await asyncio.gather(*(collect(generate(served, name, prompt_of(5))) for name in "xy"))


async def window(served: HelloServer, wanted: WantedWindow, work: Awaitable[object]) -> Profile:
    """A whole window around `work`."""
    await served.profiles.open(wanted)
    await work
    await served.profiles.close("disabled")
    await served.profiles.settle()
    profile = served.profiles.newest()
    assert profile is not None
    assert profile.state == "complete", profile.message
    return profile


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    async with hello_server(tmp_path_factory.mktemp("pod"), rows=2) as served:
        await collect(generate(served, "before", prompt_of(5)))
        profile = await window(served, WantedWindow("slow", max_runs=10_000), requests_of_all_kinds(served))
        path = tmp_path_factory.mktemp("trace") / "trace.json.gz"
        shutil.copy(served.profiles.trace_path(profile.id), path)
        one = await window(served, WantedWindow("one", selection=Selection(request_ids=("x",))), two_requests(served))
        chosen = read_trace(served.profiles.trace_path(one.id))
    return Taken(path, profile, read_trace(path), chosen)


def end_of(span: Event) -> int:
    return int(span["ts"] + span["dur"])


def test_every_request_of_the_window_is_a_thread(taken: Taken) -> None:
    shown = {name.split(",")[0] for name in taken.names.values()}
    assert shown == {"batch", "refused", *(f"request {name}" for name in "abcd")}
    assert (taken.profile.message, taken.profile.dropped_runs) == ("", 0)


def test_operators_lie_inside_their_session_and_that_in_its_run(taken: Taken) -> None:
    seen = 0
    for thread in taken.names.values():
        outer: dict[str, Event] = {}
        for span in taken.of(thread):
            if span["cat"] in ("run", "session"):
                outer[span["cat"]] = span
            within = {"session": "run", "op": "session"}.get(span["cat"])
            if within:
                assert outer[within]["ts"] <= span["ts"] <= end_of(span) <= end_of(outer[within])
                seen += 1
    assert seen > 1000


def test_runs_lie_inside_their_requests_lives(taken: Taken) -> None:
    ends = taken.ends()
    for name in "abc":
        own = taken.of(f"request {name}")
        assert [span["name"] for span in own[:2]] == ["tokenise", "queue"]
        runs = [span for span in own if span["cat"] in ("run", "token")]
        assert end_of(own[0]) <= own[1]["ts"]
        assert end_of(own[1]) <= runs[0]["ts"]
        assert end_of(runs[-1]) <= ends[f"request {name}"]["ts"]


def test_a_request_that_waited_shows_its_wait(taken: Taken) -> None:
    waits = {name: taken.of(f"request {name}")[1] for name in "abc"}
    assert waits["c"]["name"] == "queue"
    assert waits["c"]["dur"] > 10 * max(waits["a"]["dur"], waits["b"]["dur"])
    assert max(counter(taken.events, "queue")) == 1
    assert counter(taken.events, "queue")[-1] == 0
    assert max(counter(taken.events, "running requests")) == 2


def test_runs_say_what_was_cached(taken: Taken) -> None:
    cached = [span["args"]["cached"] for span in spans(taken.events, "run")]
    assert {known["a"] for known in cached if "a" in known} == {0}
    assert {known["c"] for known in cached if "c" in known} == {KEPT}
    assert taken.ends()["request c"]["args"] == {
        "prompt_tokens": KEPT + 1,
        "cached_tokens": KEPT,
        "completion_tokens": TOKENS,
    }


def test_tokens_are_chosen_after_each_decode_run(taken: Taken) -> None:
    decodes = [span for span in spans(taken.events, "run") if span["args"]["kind"] == "decode"]
    samples = {span["args"]["run"]: span for span in spans(taken.events, "engine")}
    following = dict(zip([span["args"]["run"] for span in decodes], [*decodes[1:], None], strict=True))
    finished = [span for span in decodes if "interrupted" not in span["args"]]
    assert set(samples) == {span["args"]["run"] for span in finished}
    for run in finished:
        sample, after = samples[run["args"]["run"]], following[run["args"]["run"]]
        assert sample["tid"] == run["tid"]
        assert end_of(run) <= sample["ts"]
        assert after is None or end_of(sample) <= after["ts"]


def test_batch_and_cache_are_counted(taken: Taken) -> None:
    decodes = [span for span in spans(taken.events, "run") if span["args"]["kind"] == "decode"]
    assert counter(taken.events, "batch size") == [len(span["args"]["requests"]) for span in decodes]
    assert max(counter(taken.events, "batch size")) == 2
    kv_tokens = counter(taken.events, "kv tokens")
    assert len(kv_tokens) == taken.profile.runs
    assert max(kv_tokens) >= KEPT + LONG


def test_what_is_written_to_the_network_is_shown(taken: Taken) -> None:
    for name, tokens in (("a", LONG), ("b", LONG), ("c", TOKENS)):
        answer = taken.of(f"request {name}, answer")
        assert {span["name"] for span in answer} == {"detokenise", "network write"}
        writes = [span for span in answer if span["name"] == "network write"]
        assert 1 <= len(writes) <= tokens + 1


def test_ends_say_why(taken: Taken) -> None:
    assert {name: end["name"] for name, end in taken.ends().items()} == {
        "request a": "end: length",
        "request b": "end: length",
        "request c": "end: length",
        "request d": "end: cancelled",
        "refused": "refused: invalid",
    }
    assert taken.ends()["refused"]["args"]["request"] == "e"


def test_the_record_says_what_each_kind_of_operator_took_a_run(taken: Taken) -> None:
    operators = taken.profile.operators
    assert 5 < len(operators) <= 20
    assert operators[0].microseconds_per_run == max(each.microseconds_per_run for each in operators)
    of_kind = [
        span
        for span in spans(taken.events, "op")
        if (span["args"]["op_type"], span["args"]["provider"]) == (operators[0].op_type, operators[0].provider)
    ]
    assert operators[0].calls == len(of_kind)
    mean = sum(span["dur"] for span in of_kind) / taken.profile.runs
    assert operators[0].microseconds_per_run == pytest.approx(mean, abs=0.001)


def test_a_window_on_one_request_shows_what_the_server_did_for_that_one(taken: Taken) -> None:
    names = threads(taken.chosen)
    assert {names[span["tid"]] for span in spans(taken.chosen, "front")} == {"request x", "request x, answer"}
    assert [names[event["tid"]] for event in taken.chosen if event["ph"] == "i"] == ["request x"]


def test_it_is_a_strict_chrome_trace(taken: Taken) -> None:
    assert problems(taken.path) == []


@pytest.mark.skipif(SHELL is None, reason="no trace_processor_shell here; the strict check of the format ran above")
def test_perfetto_reads_it(taken: Taken) -> None:
    config = TraceProcessorConfig(bin_path=SHELL)
    with TraceProcessor(trace=str(taken.path), config=config) as processor:
        (row,) = processor.query("select count(*) as spans from slice where dur >= 0")
        assert row.spans >= len([event for event in taken.events if event["ph"] == "X"])
        (row,) = processor.query("select sum(value) as wrong from stats where severity = 'error'")
        assert not row.wrong
