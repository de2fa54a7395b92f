"""The engine `single` on the hello model: GenAI's own tokens, terminate inside a run, windows, who disturbs whom."""

import importlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from genai_runtime.engine import single_load
from genai_runtime.engine.protocol import EngineSpec, Window
from genai_runtime.engine.single import SingleEngine
from genai_runtime.engine.single_row import PREFILL_CHUNK, Row, fold_seed, search_options
from genai_runtime.errors import ModelUnusable
from genai_runtime.generation import EngineEvent, FinishReason, Sampling, WindowProgress
from genai_runtime.profiling.manifest import read_manifest
from genai_runtime.profiling.selection import Selection
from support.engines import HELLO_MODEL, end_of, hello_spec, prompt_of, request, run_engine, tokens_of

pytestmark = pytest.mark.model
LONG = 4000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SingleEngine]:
    made = SingleEngine()
    made.load(hello_spec(tmp_path))
    yield made
    made.close()


def _genai_tokens(prompt: list[int], max_tokens: int) -> list[int]:
    """What GenAI's own Python module generates, greedily, prompt in one piece."""
    og = importlib.import_module("onnxruntime_genai")  # only this reference needs it
    model = og.Model(str(HELLO_MODEL))
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=len(prompt) + max_tokens, do_sample=False)
    generator = og.Generator(model, params)
    generator.append_tokens(prompt)
    tokens: list[int] = []
    while not generator.is_done():
        generator.generate_next_token()
        tokens.append(int(generator.get_next_tokens()[0]))
    return tokens


@pytest.mark.parametrize("length", [1, 2, 40, PREFILL_CHUNK, PREFILL_CHUNK + 1, 900])
def test_greedy_tokens_are_genais(engine: SingleEngine, length: int) -> None:
    engine.submit(request("r", prompt_of(length), 25))
    events = run_engine(engine)
    end = end_of(events, "r")
    expected = _genai_tokens(prompt_of(length), 25)
    stopped = expected[-1] == 2
    assert tokens_of(events, "r") == expected[: len(expected) - stopped]
    assert end.reason is (FinishReason.STOP if stopped else FinishReason.LENGTH)
    assert (end.prompt_tokens, end.completion_tokens) == (length, len(expected) - stopped)


def test_a_seed_repeats_and_another_differs(engine: SingleEngine) -> None:
    def sample(seed: int | None) -> list[int]:
        engine.submit(request("r", prompt_of(30), 40, Sampling(temperature=1.5, seed=seed)))
        return tokens_of(run_engine(engine), "r")

    assert sample(7) == sample(7)
    assert len({tuple(sample(seed)) for seed in (1, 2, 2**40 + 3, 2**64 - 1)}) > 1
    assert len({tuple(sample(None)) for _ in range(5)}) > 1


def test_company_does_not_change_tokens(engine: SingleEngine) -> None:
    alone = {}
    for n in range(3):
        engine.submit(request(f"r{n}", prompt_of(300 + n, n), 30))
        alone[f"r{n}"] = tokens_of(run_engine(engine), f"r{n}")
    for n in range(3):
        engine.submit(request(f"r{n}", prompt_of(300 + n, n), 30))
    engine.submit(request("gone", prompt_of(400, 9), 500))
    events: list[EngineEvent] = []
    events += engine.step()
    engine.cancel("gone", FinishReason.CANCELLED)
    run_engine(engine, events)
    assert end_of(events, "gone").reason is FinishReason.CANCELLED
    assert {name: tokens_of(events, name) for name in alone} == alone


class _StopDuring:
    """Calls `stop` from another thread as soon as the engine is in the run that `arm` waits for."""

    def __init__(self, engine: SingleEngine, stop: str) -> None:
        self._engine, self._stop = engine, stop
        self._thread = threading.Thread(target=self._watch)
        self.hit = False

    def _watch(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self._engine._running is not None:  # the only sign that a run is in progress
                time.sleep(0.005)
                if self._stop == "halt":
                    self._engine.halt()
                else:
                    self._engine.cancel("r", FinishReason.DEADLINE)
                self.hit = True
                return

    def __enter__(self) -> "_StopDuring":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


@pytest.mark.parametrize(("stop", "reason"), [("halt", FinishReason.TERMINATED), ("cancel", FinishReason.DEADLINE)])
def test_a_stop_takes_effect_inside_a_prefill_run(
    engine: SingleEngine, monkeypatch: pytest.MonkeyPatch, stop: str, reason: FinishReason
) -> None:
    # The whole prompt in one run: what ends without it was interrupted in it.
    monkeypatch.setattr(Row, "chunk_length", lambda row: len(row.request.prompt))
    with _StopDuring(engine, stop) as stopping:
        engine.submit(request("r", prompt_of(LONG), 1))
        events = run_engine(engine)
    end = end_of(events, "r")
    assert stopping.hit
    assert (end.reason, end.completion_tokens) == (reason, 0)
    assert end.prefill_seconds > 0  # it had begun
    assert engine.stats().prompt_tokens == 0  # and was not computed


def test_resume_after_an_interrupted_prefill_is_clean(engine: SingleEngine) -> None:
    with _StopDuring(engine, "halt"):
        engine.submit(request("r", prompt_of(LONG), 5))
        run_engine(engine)
    engine.submit(request("refused", prompt_of(5), 5))
    assert end_of(run_engine(engine), "refused").reason is FinishReason.TERMINATED
    engine.resume()
    engine.submit(request("again", prompt_of(900), 25))
    expected = _genai_tokens(prompt_of(900), 25)
    assert tokens_of(run_engine(engine), "again") == [token for token in expected if token != 2]


def test_a_storm_of_stops_leaves_the_engine_whole(engine: SingleEngine) -> None:
    over = threading.Event()

    def storm() -> None:
        while not over.is_set():
            engine.halt()
            engine.cancel("r3", FinishReason.CANCELLED)
            engine.resume()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for round_ in range(20):
            for n in range(5):
                engine.submit(request(f"r{n}", prompt_of(100, round_), 20))
            events = run_engine(engine)
            for n in range(5):
                end_of(events, f"r{n}")
    finally:
        over.set()
        thread.join()
    engine.resume()
    engine.submit(request("after", prompt_of(40), 25))
    expected = _genai_tokens(prompt_of(40), 25)
    assert tokens_of(run_engine(engine), "after") == [token for token in expected if token != 2]


def test_a_window_keeps_one_file_for_every_run(engine: SingleEngine, tmp_path: Path) -> None:
    engine.open_window(Window("w-20260101T000000Z-1", 10_000, 10**9, 600.0))
    lengths = {"a": 30, "b": 700}
    for name, length in lengths.items():
        engine.submit(request(name, prompt_of(length), 12))
    events = run_engine(engine)
    engine.close_window("disabled")
    events += engine.step()
    closed = [event for event in events if isinstance(event, WindowProgress)][-1]
    # A prompt's chunks are a run each. Choosing the first token is none; the end-of-sequence token is chosen after one.
    ends = [end_of(events, name) for name in lengths]
    chunks = 1 + 3
    decodes = sum(end.completion_tokens - (end.reason is FinishReason.LENGTH) for end in ends)
    assert (closed.runs, closed.dropped_runs, closed.requests) == (chunks + decodes, 0, 2)
    files = list((tmp_path / "w-20260101T000000Z-1.raw").glob("r*.json"))
    assert len(files) == closed.runs
    assert all(json.loads(file.read_text()) for file in files)
    runs = read_manifest(tmp_path / "w-20260101T000000Z-1.raw").runs
    # GenAI chooses a token inside a decode's run; the first one after the prompt's last chunk.
    assert [(run.kind, set(run.requests)) for run in runs if run.sampled] == [("prefill", {"a"}), ("prefill", {"b"})]
    assert {run.kv_tokens for run in runs} == {-1}


def test_a_window_keeps_the_chosen_runs_of_the_chosen_client(engine: SingleEngine, tmp_path: Path) -> None:
    window_id = "w-20260101T000000Z-2"
    selection = Selection(runs="prefill,0-1,4", clients=("alice",))
    engine.open_window(Window(window_id, 10_000, 10**9, 600.0, selection))
    engine.submit(replace(request("a", prompt_of(30), 8), client="alice", ignore_eos=True))
    engine.submit(replace(request("b", prompt_of(30), 8), client="bob"))
    run_engine(engine)
    engine.close_window("disabled")
    (closed,) = [event for event in engine.step() if isinstance(event, WindowProgress)]
    runs = read_manifest(tmp_path / f"{window_id}.raw").runs
    # The prompt's run makes token 0.
    assert [(run.kind, run.requests) for run in runs] == [
        ("prefill", {"a": 30}),
        ("decode", {"a": 2}),
        ("decode", {"a": 5}),
    ]
    assert closed.runs == 3
    assert closed.skipped_runs > 5


def test_pad_tokens_are_ordinary(engine: SingleEngine) -> None:
    engine.submit(request("pads", [3] * 64, 3))
    engine.submit(request("r", [*prompt_of(20), 3, 3], 3))
    events = run_engine(engine)
    assert end_of(events, "pads").reason is not FinishReason.ERROR
    assert end_of(events, "r").reason is not FinishReason.ERROR


@pytest.mark.parametrize("prompt", [[], [1280], [-1], prompt_of(4096)])
def test_a_bad_prompt_ends_alone(engine: SingleEngine, prompt: list[int]) -> None:
    engine.submit(request("bad", prompt, 3))
    engine.submit(request("good", prompt_of(20), 3))
    events = run_engine(engine)
    bad = end_of(events, "bad")
    assert bad.reason is FinishReason.ERROR
    assert bad.message
    assert end_of(events, "good").reason is not FinishReason.ERROR


def test_the_sequence_is_bounded_by_the_context(tmp_path: Path) -> None:
    engine = SingleEngine()
    assert engine.load(hello_spec(tmp_path, max_sequence_length=32)).max_sequence_length == 32
    engine.submit(request("r", prompt_of(30), 50, Sampling(temperature=2.0, seed=1)))
    end = end_of(run_engine(engine), "r")
    engine.close()
    assert end.completion_tokens <= 2


def test_cuda_on_the_cpu_build_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="cuda was asked for") as caught:
        SingleEngine().load(hello_spec(tmp_path, provider="cuda"))
    assert caught.value.reason == "ExecutionProviderUnavailable"


def test_a_graph_that_onnxruntime_refuses_is_invalid(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(HELLO_MODEL, tmp_path / "model"))
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes().replace(b"GroupQueryAttention", b"GroupQueryAttentioX"))
    with pytest.raises(ModelUnusable, match=str(folder)) as caught:
        SingleEngine().load(hello_spec(tmp_path, model_dir=folder))
    assert caught.value.reason == "ModelInvalid"


def test_every_setting_is_accepted_by_genai(tmp_path: Path) -> None:
    for level in ("disabled", "basic", "extended", "all"):
        spec = hello_spec(tmp_path, graph_optimization_level=level, memory_arena=False, memory_pattern=False)
        engine = SingleEngine()
        assert engine.load(spec).provider == "cpu"
        engine.close()


def test_settings_become_session_options() -> None:
    spec = EngineSpec(Path("/m"), Path("/p"), intra_op_threads=3, spinning=False, memory_arena=True)
    session = single_load.overlay(spec)["model"]["decoder"]["session_options"]
    assert session["intra_op_num_threads"] == 3
    assert session["session.intra_op.allow_spinning"] == "0"
    assert session["enable_cpu_mem_arena"] is True
    assert "enable_mem_pattern" not in session


def test_sampling_becomes_search_options() -> None:
    assert search_options(Sampling(), 9, 1280)["do_sample"] is False
    nucleus = search_options(Sampling(temperature=1.0, top_p=0.9), 9, 150_000)
    assert (nucleus["top_k"], nucleus["top_p"], nucleus["random_seed"]) == (1024, 0.9, -1)
    assert search_options(Sampling(temperature=1.0, top_k=5000), 9, 1280)["top_k"] == 1280
    assert search_options(Sampling(temperature=1.0), 9, 1280)["top_k"] == 0
    assert 0 <= fold_seed(2**64 - 1) < 2**31
    assert all(fold_seed(5 ^ (1 << bit)) != fold_seed(5) for bit in range(64))
