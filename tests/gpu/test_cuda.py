"""The engine `single` on an NVIDIA GPU: the CPU's tokens, terminate, profiles, placement, options, and its speed."""

import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.engine import providers
from genai_runtime.engine.genai_capi import Config, Generator, GeneratorParams, Model
from genai_runtime.engine.loading import load
from genai_runtime.engine.protocol import Engine, EngineSpec, ModelInfo, Window
from genai_runtime.engine.single import SingleEngine
from genai_runtime.engine.single_load import overlay
from genai_runtime.engine.single_row import Row
from genai_runtime.engine.worker import make_engine
from genai_runtime.errors import ModelUnusable
from genai_runtime.front.placement import placement
from genai_runtime.generation import FinishReason
from genai_runtime.profiling.merge import merge
from support.engines import HELLO_MODEL, end_of, hello_spec, prompt_of, request, run_engine, tokens_of
from support.half_precision import half_precision
from support.hello_prompts import questions

CUDA = "CUDAExecutionProvider"
LONG = 4000


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hello model in fp16: CUDA's attention takes no fp32."""
    return half_precision(HELLO_MODEL, tmp_path_factory.mktemp("half") / "model")


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory, half: Path) -> Path:
    """The same, and no answer ends by itself: no token that it says ends a text."""
    folder = Path(shutil.copytree(half, tmp_path_factory.mktemp("endless") / "model"))
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["eos_token_id"] = [config["model"]["bos_token_id"]]
    (folder / "genai_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def engine(tmp_path: Path, endless: Path) -> Iterator[SingleEngine]:
    made = SingleEngine()
    assert made.load(hello_spec(tmp_path, provider="cuda", model_dir=endless)).provider == "cuda"
    yield made
    made.close()


def answers(engine: Engine) -> list[list[int]]:
    """What the model says to its questions, greedily."""
    asked = questions()
    for number, prompt in enumerate(asked):
        engine.submit(request(str(number), prompt, 24))
    events = run_engine(engine)
    return [tokens_of(events, str(number)) for number in range(len(asked))]


def loaded(spec: EngineSpec) -> tuple[Engine, ModelInfo]:
    return load(make_engine, "single", spec)


@pytest.mark.parametrize("precision", ["as it is", "fp16"])
def test_tokens_are_the_cpus(tmp_path: Path, half: Path, precision: str) -> None:
    folder = HELLO_MODEL if precision == "as it is" else half
    on_cpu, _ = loaded(hello_spec(tmp_path))
    on_gpu, info = loaded(hello_spec(tmp_path, provider="cuda", model_dir=folder))
    assert (info.provider, info.provider_reason) == ("cuda", "")
    assert answers(on_gpu) == answers(on_cpu)
    on_gpu.close()
    on_cpu.close()


def _in_a_run(engine: SingleEngine, stop: str) -> bool:
    """Stop the engine from another thread while a run is in progress; whether one was."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if engine._running is not None:  # the only sign that a run is in progress
            engine.halt() if stop == "halt" else engine.cancel("r", FinishReason.DEADLINE)
            return True
    return False


@pytest.mark.parametrize(("stop", "reason"), [("halt", FinishReason.TERMINATED), ("cancel", FinishReason.DEADLINE)])
def test_a_prefill_is_terminated_and_the_engine_goes_on(
    engine: SingleEngine, monkeypatch: pytest.MonkeyPatch, stop: str, reason: FinishReason
) -> None:
    before = answers(engine)
    monkeypatch.setattr(Row, "chunk_length", lambda row: len(row.request.prompt))
    thread = threading.Thread(target=_in_a_run, args=(engine, stop))
    thread.start()
    engine.submit(request("r", prompt_of(LONG), 1))
    end = end_of(run_engine(engine), "r")
    thread.join()
    # A GPU may have computed the prompt before the flag is seen: then the one token is there, and never a wrong one.
    assert end.reason in (reason, FinishReason.LENGTH)
    engine.resume()
    assert answers(engine) == before


@pytest.mark.parametrize(("stop", "reason"), [("halt", FinishReason.TERMINATED), ("cancel", FinishReason.DEADLINE)])
def test_decoding_is_terminated(engine: SingleEngine, stop: str, reason: FinishReason) -> None:
    engine.submit(request("r", prompt_of(20), LONG))
    events = [event for _ in range(8) for event in engine.step()]
    thread = threading.Thread(target=_in_a_run, args=(engine, stop))
    thread.start()
    events += run_engine(engine)
    thread.join()
    end = end_of(events, "r")
    assert end.reason is reason
    assert 0 < end.completion_tokens < LONG


def test_a_profile_names_cuda_and_almost_all_of_the_time_is_there(engine: SingleEngine, tmp_path: Path) -> None:
    window_id = "w-20260101T000000Z-1"
    answers(engine)  # kernels are chosen and loaded in the first runs
    engine.open_window(Window(window_id, 10_000, 10**9, 600.0))
    engine.submit(request("r", prompt_of(200), 24))
    run_engine(engine)
    engine.close_window("disabled")
    engine.step()
    summary = merge(tmp_path / f"{window_id}.raw", tmp_path / "trace.json.gz", "gpu")
    assert summary.runs > 0
    shares = {each.provider: each.share for each in placement(summary.operators)}
    print(f"operators' time: {', '.join(f'{share:.1%} {name}' for name, share in shares.items())}")
    assert shares[CUDA] >= 0.95


def test_a_model_that_was_built_for_the_cpu_runs_partly_there(tmp_path: Path) -> None:
    """What `ProviderDegraded` is for: fp32 attention has no kernel for CUDA, and the tokens are right all the same."""
    engine, info = loaded(hello_spec(tmp_path, provider="cuda"))
    assert info.provider == "cuda"
    assert all(answers(engine))
    engine.close()


OPTIONS = {
    "gpu_mem_limit": 2**31,
    "arena_extend_strategy": "kSameAsRequested",
    "initial_chunk_size_bytes": 2**22,
    "cudnn_conv_algo_search": "HEURISTIC",
    "cudnn_conv_use_max_workspace": False,
    "do_copy_in_default_stream": True,
    "use_ep_level_unified_stream": True,
    "use_tf32": False,
}


@pytest.mark.parametrize("names", [(name,) for name in OPTIONS] + [tuple(OPTIONS)], ids=" ".join)
def test_onnxruntime_takes_every_option(tmp_path: Path, half: Path, names: tuple[str, ...]) -> None:
    options = {name: OPTIONS[name] for name in names}
    engine, info = loaded(hello_spec(tmp_path, provider="cuda", model_dir=half, provider_options=options))
    assert info.provider == "cuda"
    assert all(answers(engine))
    engine.close()


def test_a_limit_on_memory_holds(tmp_path: Path, half: Path) -> None:
    options = {"gpu_mem_limit": 2**20}  # the weights alone are larger
    with pytest.raises(ModelUnusable) as caught:
        loaded(hello_spec(tmp_path, provider="cuda", model_dir=half, provider_options=options))
    assert caught.value.reason == "OutOfMemory"


def test_a_device_that_is_not_there_is_unavailable(tmp_path: Path, half: Path) -> None:
    """In a process of its own: CUDA looks at the environment once."""
    program = (
        "import sys; from pathlib import Path; from genai_runtime.engine.protocol import EngineSpec; "
        "from genai_runtime.engine.single import SingleEngine; from genai_runtime.errors import ModelUnusable\n"
        "spec = EngineSpec(Path(sys.argv[1]), Path(sys.argv[2]), provider='cuda', provider_options={'device_id': 63})\n"
        "try:\n    SingleEngine().load(spec)\nexcept ModelUnusable as error:\n    print(error.reason)\n"
    )
    command = [sys.executable, "-c", program, str(half), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.strip() == "ExecutionProviderUnavailable"


def _raw_seconds(spec: EngineSpec, prompt: list[int], count: int) -> float:
    """Seconds a token of GenAI's own loop with nothing around it."""
    with Config(spec.model_dir) as config:
        config.overlay(json.dumps(overlay(spec)))
        providers.append(config, spec.provider, spec.provider_options)
        model = Model(config)
    params = GeneratorParams(model)
    for name, value in {"max_length": len(prompt) + count, "min_length": len(prompt) + count}.items():
        params.set(name, value)
    generator = Generator(model, params)
    generator.append_tokens(prompt)
    generator.generate_next_token()
    began = time.perf_counter()
    for _ in range(count - 1):
        generator.generate_next_token()
    seconds = (time.perf_counter() - began) / (count - 1)
    for each in (generator, params, model):
        each.close()
    return seconds


def test_the_speed_beside_genais_own_loop_is_told(tmp_path: Path, endless: Path, engine: SingleEngine) -> None:
    prompt, count = prompt_of(64), 256
    spec = hello_spec(tmp_path, provider="cuda", model_dir=endless)
    answers(engine)
    ours, raw = [], []
    for _ in range(5):
        raw.append(_raw_seconds(spec, prompt, count))
        engine.submit(request("r", prompt, count))
        end = end_of(run_engine(engine), "r")
        assert end.completion_tokens == count
        ours.append(end.decode_seconds / (count - 1))
    ratio = statistics.median(raw) / statistics.median(ours)
    print(
        f"tokens a second: {1 / statistics.median(ours):.0f}, raw {1 / statistics.median(raw):.0f}; ratio {ratio:.3f}"
    )
