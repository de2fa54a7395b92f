"""Execution providers: what the wheel lacks is said, never replaced unasked; and options become GenAI's strings."""

import ctypes
import json
from pathlib import Path

import pytest

from genai_runtime.engine import providers
from genai_runtime.engine.genai_capi import Config, GenAIError
from genai_runtime.engine.loading import load
from genai_runtime.engine.protocol import Engine, ModelInfo
from genai_runtime.engine.worker import make_engine
from genai_runtime.errors import ModelUnusable
from genai_runtime.provider_settings import CudaOptions, OpenVinoOptions, TrtRtxOptions
from support.engines import HELLO_MODEL, hello_spec, prompt_of, request, run_engine, tokens_of

pytestmark = pytest.mark.model

MISSING = tuple(providers.PROVIDERS)
CUDA = {
    "device_id": 3,
    "gpu_mem_limit": 2**40,
    "arena_extend_strategy": "kSameAsRequested",
    "initial_chunk_size_bytes": 2**20,
    "max_dead_bytes_per_chunk": 2**21,
    "initial_growth_chunk_size_bytes": 2**22,
    "cudnn_conv_algo_search": "HEURISTIC",
    "cudnn_conv_use_max_workspace": False,
    "do_copy_in_default_stream": True,
    "use_ep_level_unified_stream": True,
    "use_tf32": False,
    "enable_cuda_graph": True,
}
TRT_RTX = {
    "device_id": 1,
    "max_workspace_size": 2**30,
    "runtime_cache": True,
    "dump_subgraphs": True,
    "detailed_build_log": False,
    "multi_profile": True,
    "enable_cuda_graph": True,
}
OPENVINO = {
    "device_type": "GPU",
    "num_of_threads": 4,
    "num_streams": 2,
    "model_cache": True,
    "enable_causallm": True,
}
ALL = {"cuda": CUDA, "trt-rtx": TRT_RTX, "openvino": OPENVINO}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Choosing a device writes into this process's environment, and caches lie in the temporary folder."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # subgraphs are dumped into a working directory of their own


def loaded(tmp_path: Path, **changes: object) -> tuple[Engine, ModelInfo]:
    return load(make_engine, "auto", hello_spec(tmp_path, max_sequence_length=256, max_concurrent=2, **changes))


def generated(engine: Engine) -> list[int]:
    engine.submit(request("r", prompt_of(20), 12))
    found = tokens_of(run_engine(engine), "r")
    engine.close()
    return found


@pytest.mark.parametrize("provider", MISSING)
def test_a_provider_that_the_wheel_lacks_is_unavailable(tmp_path: Path, provider: str) -> None:
    with pytest.raises(ModelUnusable, match=f"^{provider} was asked for.*set the device to cpu$") as caught:
        loaded(tmp_path, provider=provider)
    assert caught.value.reason == "ExecutionProviderUnavailable"


@pytest.mark.parametrize("provider", MISSING)
def test_the_cpu_serves_where_that_is_allowed_and_it_is_said(tmp_path: Path, provider: str) -> None:
    engine, info = loaded(tmp_path, provider=provider, provider_fallback=True, provider_options=ALL.get(provider, {}))
    assert (info.provider, info.engine) == ("cpu", "batch")
    assert info.provider_reason.startswith(f"{provider} was asked for")
    own, plain = loaded(tmp_path)
    assert plain.provider_reason == ""
    assert generated(engine) == generated(own) != []


def test_another_fault_is_no_missing_provider(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable) as caught:
        loaded(tmp_path, model_dir=tmp_path / "nothing", provider="cuda", provider_fallback=True)
    assert caught.value.reason == "ModelNotFound"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("CUDA driver version is insufficient for CUDA runtime version", "ExecutionProviderUnavailable"),
        ("Load model from model.onnx failed: Protobuf parsing failed.", "ModelInvalid"),
        ("Load model from /models/llama-cuda/model.onnx failed: Protobuf parsing failed.", "ModelInvalid"),
        ("BFCArena: Available memory of 0 is smaller than requested bytes of 1310720", "OutOfMemory"),
        ("CUDA failure 2: out of memory ; GPU=0", "OutOfMemory"),
    ],
)
def test_genais_words_tell_the_provider_from_the_model(said: str, reason: str) -> None:
    assert providers.unusable("cuda", Path("/models/llama-cuda"), GenAIError(said)).reason == reason


def test_a_model_that_is_elsewhere_is_no_success() -> None:
    providers.check_device("cuda", "CUDA")
    providers.check_device("dml", "DirectML")
    with pytest.raises(ModelUnusable, match="cuda was asked for, but GenAI took CPU"):
        providers.check_device("cuda", "CPU")


def test_cudas_options_are_strings_as_genai_takes_them() -> None:
    found = providers.option_strings("cuda", CUDA)
    assert found == {
        "max_mem": str(2**40),
        "arena_extend_strategy": "1",
        "initial_chunk_size_bytes": str(2**20),
        "max_dead_bytes_per_chunk": str(2**21),
        "initial_growth_chunk_size_bytes": str(2**22),
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "0",
        "do_copy_in_default_stream": "1",
        "use_ep_level_unified_stream": "1",
        "use_tf32": "0",
        "enable_cuda_graph": "1",
    }
    # Without an arena's option the limit is the provider's own.
    assert providers.option_strings("cuda", {"gpu_mem_limit": 7}) == {"gpu_mem_limit": "7"}


def test_the_other_providers_options_are_strings_as_genai_takes_them(tmp_path: Path) -> None:
    assert providers.option_strings("trt-rtx", TRT_RTX) == {
        "nv_max_workspace_size": str(2**30),
        "nv_runtime_cache_path": str(tmp_path / "genai-providers" / "trt-rtx"),
        "nv_dump_subgraphs": "1",
        "nv_detailed_build_log": "0",
        "nv_multi_profile_enable": "1",
        "enable_cuda_graph": "1",
    }
    assert providers.option_strings("openvino", OPENVINO) == {
        "device_type": "GPU",
        "num_of_threads": "4",
        "num_streams": "2",
        "cache_dir": str(tmp_path / "genai-providers" / "openvino"),
        "enable_causallm": "True",
    }
    off = {"model_cache": False, "enable_causallm": False}
    assert providers.option_strings("openvino", off) == {"enable_causallm": "False"}


@pytest.mark.parametrize("provider", ALL)
def test_every_typed_option_has_its_string(provider: str) -> None:
    kind = {"cuda": CudaOptions, "trt-rtx": TrtRtxOptions, "openvino": OpenVinoOptions}[provider]
    assert set(ALL[provider]) == set(kind.model_fields)
    assert kind.model_validate(ALL[provider]).model_dump() == ALL[provider]
    assert len(providers.option_strings(provider, ALL[provider])) == len(set(kind.model_fields) - {"device_id"})


@pytest.mark.parametrize("provider", ALL)
def test_genais_own_parser_takes_the_options(provider: str) -> None:
    name, options = providers.PROVIDERS[provider].name, providers.option_strings(provider, ALL[provider])
    with Config(HELLO_MODEL) as config:
        config.overlay(_overlay(name, options))
        with pytest.raises(GenAIError, match="Expected a string but saw a number"):
            config.overlay(_overlay(name, {next(iter(options)): 1}))


@pytest.mark.parametrize("provider", ["cuda", "trt-rtx", "openvino"])
def test_an_option_that_is_not_in_the_table_reaches_nobody(provider: str) -> None:
    with pytest.raises(KeyError, match="user_compute_stream"):
        providers.option_strings(provider, {"user_compute_stream": 1})


@pytest.mark.parametrize(
    ("before", "asked", "after"), [("", 0, "0"), ("", 2, "2"), ("5,7", 1, "7"), ("GPU-1a,MIG-2b", 0, "GPU-1a")]
)
def test_cuda_sees_the_chosen_device_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, asked: int, after: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with pytest.raises(ModelUnusable):  # for want of CUDA, once the device is chosen
        loaded(tmp_path, provider="trt-rtx", provider_options={"device_id": asked})
    assert _environment("CUDA_VISIBLE_DEVICES") == after


def test_nothing_is_chosen_where_no_device_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-2b,5")
    with pytest.raises(ModelUnusable):
        loaded(tmp_path, provider="trt-rtx")
    assert _environment("CUDA_VISIBLE_DEVICES") == "MIG-2b,5"


def test_a_device_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with pytest.raises(ModelUnusable, match="device 2 was asked for, and CUDA_VISIBLE_DEVICES shows 2"):
        loaded(tmp_path, provider="trt-rtx", provider_options={"device_id": 2})


def _environment(name: str) -> str | None:
    """As the C library has it, which is where CUDA looks."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    value: bytes | None = getenv(name.encode())
    return None if value is None else value.decode()


def _overlay(name: str, options: object) -> str:
    return json.dumps({"model": {"decoder": {"session_options": {"provider_options": [{name: options}]}}}})
