"""Real runs of the hello model: every token's file is kept, and the trace of them is sound."""

import itertools
from pathlib import Path

import onnxruntime_genai as og
import pytest

from genai_runtime.profiling.merge import merge
from genai_runtime.profiling.session_run import read_session_run
from genai_runtime.profiling.window import OpenWindow
from support.chrome_trace import inside, read_trace, spans
from support.raw_runs import window

MODEL = Path(__file__).parents[3] / "examples" / "hello-model" / "model"
TOKENS = 120
PROMPT = list(range(20, 52))

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model() -> og.Model:
    return og.Model(str(MODEL))


class Request:
    """One generation whose runs are all profiled."""

    def __init__(self, model: og.Model, opened: OpenWindow, name: str, **search: int) -> None:
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=400, min_length=399, **search)
        self.generator = og.Generator(model, params)
        self.opened = opened
        self.name = name
        self.decoded = 0

    def prefill(self) -> None:
        self._profiled("prefill", len(PROMPT))
        self.generator.append_tokens(PROMPT)
        self.opened.after_run()
        self.generator.set_runtime_option("enable_profiling", "0")
        self.generator.generate_next_token()  # from the prefill's logits: not a run of the model

    def decode(self) -> None:
        self.decoded += 1
        self._profiled("decode", self.decoded)
        self.generator.generate_next_token()
        self.opened.after_run()

    def _profiled(self, kind: str, tokens: int) -> None:
        prefix = self.opened.before_run(kind, {self.name: tokens})
        assert prefix is not None
        self.generator.set_runtime_option("enable_profiling", prefix)


def test_no_run_is_lost_and_the_trace_is_sound(model: og.Model, tmp_path: Path) -> None:
    opened = OpenWindow(window(), tmp_path)
    requests = [Request(model, opened, name) for name in ("one", "two")]
    for request in requests:
        request.prefill()
    for _ in range(TOKENS):
        for request in requests:
            request.decode()
    last = opened.close("disabled")
    assert (last.runs, last.requests, last.dropped_runs, last.message) == (2 * (TOKENS + 1), 2, 0, "")

    out = tmp_path / "trace.json.gz"
    raw = tmp_path / f"{last.window_id}.raw"
    assert sum(path.stat().st_size for path in raw.glob("r0*.json")) == last.captured_bytes
    summary = merge(raw, out, "pod")
    assert (summary.runs, summary.dropped_runs) == (last.runs, 0)
    events = read_trace(out)
    runs = spans(events, "run")
    assert len(runs) == last.runs
    assert [run["ts"] for run in runs] == sorted(run["ts"] for run in runs)
    for before, after in itertools.pairwise(runs):  # one thread ran them all
        assert before["ts"] + before["dur"] <= after["ts"]
    per_run = {len(inside(events, run)) for run in runs}
    assert len(per_run) == 1
    assert per_run.pop() > 10
    for run in runs:
        assert sum(op["dur"] for op in inside(events, run)) <= run["dur"]
    assert {op.op_type for op in summary.top_operators} >= {"MatMulNBits", "GroupQueryAttention"}
    assert 0.5 < sum(op.share for op in summary.top_operators) <= 1.0001


def test_a_run_is_not_cut_by_its_placing(model: og.Model, tmp_path: Path) -> None:
    """What ONNX Runtime measured fits in what the engine measured: no operator had to be shortened."""
    opened = OpenWindow(window(), tmp_path)
    request = Request(model, opened, "one")
    request.prefill()
    for _ in range(20):
        request.decode()
    opened.close("disabled")
    out = tmp_path / "trace.json.gz"
    raw = tmp_path / f"{window().window_id}.raw"
    merge(raw, out, "pod")
    events = read_trace(out)
    measured = [read_session_run(path) for path in sorted(raw.glob("r0*.json"))]
    for session, run, true in zip(spans(events, "session"), spans(events, "run"), measured, strict=True):
        assert run["ts"] <= session["ts"]
        assert session["ts"] + session["dur"] <= run["ts"] + run["dur"]
        assert session["dur"] == true.end - true.start > 0
        shown = [(op["ts"] - session["ts"], op["dur"]) for op in inside(events, run)]
        assert shown == [(op.start - true.start, op.end - op.start) for op in true.operators]


def test_a_prefill_in_chunks_is_one_run_with_all_its_sessions(model: og.Model, tmp_path: Path) -> None:
    opened = OpenWindow(window(), tmp_path)
    Request(model, opened, "one", chunk_size=8).prefill()
    last = opened.close("disabled")
    out = tmp_path / "trace.json.gz"
    raw = tmp_path / f"{last.window_id}.raw"
    summary = merge(raw, out, "pod")
    assert summary.runs == last.runs == 1
    # Four, but for chunks that began in the same millisecond: ONNX Runtime names their files alike.
    assert 2 <= len(list(raw.glob("r0*.json"))) == len(spans(read_trace(out), "session")) <= 4
