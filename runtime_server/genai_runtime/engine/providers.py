"""Execution providers as GenAI calls them, and our typed options as the strings that it takes.

The only table of such strings: what a user wrote never becomes a key, a path or a provider's name, only a number or one
of the values below. A provider must be *appended*: options that are merely laid over the configuration leave the model
on the CPU without a word. What the options mean to users is in docs/providers.md.
"""

import ctypes
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from genai_runtime.engine import genai_capi
from genai_runtime.engine.genai_capi import Config, GenAIError
from genai_runtime.errors import ModelUnusable

Options = Mapping[str, int | bool | str]
_log = structlog.get_logger("genai_runtime.engine")

# GenAI takes CUDA's arena as numbers of its own: with any of these the limit is `max_mem`, else the provider's own key.
_ARENA = (
    *("arena_extend_strategy", "initial_chunk_size_bytes"),
    *("max_dead_bytes_per_chunk", "initial_growth_chunk_size_bytes"),
)
_ARENA_STRATEGIES = {"kNextPowerOfTwo": "0", "kSameAsRequested": "1"}
_CUDA_KEYS = (
    *(*_ARENA, "gpu_mem_limit", "cudnn_conv_algo_search", "cudnn_conv_use_max_workspace", "do_copy_in_default_stream"),
    *("use_ep_level_unified_stream", "use_tf32", "enable_cuda_graph"),
)
_TRT_RTX_KEYS = {
    "max_workspace_size": "nv_max_workspace_size",
    "runtime_cache": "nv_runtime_cache_path",
    "dump_subgraphs": "nv_dump_subgraphs",
    "detailed_build_log": "nv_detailed_build_log",
    "multi_profile": "nv_multi_profile_enable",
    "enable_cuda_graph": "enable_cuda_graph",
}
_OPENVINO_KEYS = {
    "device_type": "device_type",
    "num_of_threads": "num_of_threads",
    "num_streams": "num_streams",
    "model_cache": "cache_dir",
    "enable_causallm": "enable_causallm",
}
_DEVICE = "device_id"  # by the environment: GenAI makes its stream on the first device that it sees
_FOLDERS = ("runtime_cache", "model_cache")  # switches of ours; where the folder is, is no user's to say
_SCRATCH = "genai-providers"
# Words of an allocation that failed: of ONNX Runtime's arena, and of CUDA.
_NO_ROOM = ("smaller than requested bytes", "failed to allocate memory", "out of memory")

CUDA_LIBRARY = "libonnxruntime-genai-cuda.so"
# In the order in which one needs another. What is not in the wheels is left to the loader's own search.
_CUDA_LIBRARIES = (
    *("libcudart.so.13", "libnvJitLink.so.13", "libnvrtc.so.13", "libcublasLt.so.13", "libcublas.so.13"),
    *("libcurand.so.10", "libcufft.so.12", "libcudnn.so.9"),
)


@dataclass(frozen=True, slots=True)
class Provider:
    """`name`: what GenAI appends. `devices`: what a model that runs on it says it runs on, in lower case.

    `signs`: words of an error, in lower case, that tell of the provider and not of the model.
    """

    name: str
    devices: tuple[str, ...]
    signs: tuple[str, ...]


PROVIDERS = {
    "cuda": Provider("cuda", ("cuda",), ("cuda", "cudnn", "cublas")),
    "trt-rtx": Provider("NvTensorRtRtx", ("nvtensorrtrtx",), ("nvtensorrtrtx", "cuda", "tensorrt")),
    "openvino": Provider("OpenVINO", ("openvino",), ("openvino",)),
    "webgpu": Provider("WebGPU", ("webgpu",), ("webgpu",)),
    "dml": Provider("DML", ("directml",), ("dml", "directml")),
    # Without memory that both share, GenAI keeps the cache of a model on a QNN device in the CPU's.
    "qnn": Provider("QNN", ("qnnwithsharedmemory", "cpu"), ("qnn",)),
}


def prepare(provider: str, options: Options) -> None:
    """What must be so before GenAI looks for the device. Raises `ModelUnusable`."""
    if provider == "cpu":
        return
    if provider not in PROVIDERS:
        known = ", ".join(["cpu", *PROVIDERS])
        raise unavailable(f"the device {provider!r} is not known to this server; {known} are")
    if provider == "cuda" and not (genai_capi.genai_folder() / CUDA_LIBRARY).is_file():
        raise unavailable("cuda was asked for, but this image holds the CPU build of ONNX Runtime GenAI")
    if provider in ("cuda", "trt-rtx"):
        if _DEVICE in options:
            _choose_device(int(options[_DEVICE]))
        load_cuda_libraries()
    if options.get("dump_subgraphs"):
        os.chdir(_scratch(provider))  # they are written into the working directory, and a pod's is read-only


def append(config: Config, provider: str, options: Options) -> None:
    """Have `config` use `provider`, with these options; the CPU computes what it cannot. Raises `GenAIError`."""
    config.clear_providers()
    if provider == "cpu":
        return
    name = PROVIDERS[provider].name
    config.append_provider(name)
    for key, value in option_strings(provider, options).items():
        config.set_provider_option(name, key, value)


def option_strings(provider: str, options: Options) -> dict[str, str]:
    """The options as GenAI takes them. Raises KeyError for one that is not in the table."""
    given = {name: value for name, value in options.items() if name != _DEVICE}
    if provider == "cuda":
        return _cuda(given)
    keys = {"trt-rtx": _TRT_RTX_KEYS, "openvino": _OPENVINO_KEYS}.get(provider, {})
    found = {keys[name]: _text(value) for name, value in given.items() if name not in _FOLDERS}
    found |= {keys[name]: str(_scratch(provider)) for name in _FOLDERS if given.get(name)}
    if provider == "openvino" and "enable_causallm" in found:
        found["enable_causallm"] = "True" if given["enable_causallm"] else "False"
    return found


def _cuda(given: Options) -> dict[str, str]:
    unknown = set(given) - set(_CUDA_KEYS)
    if unknown:
        raise KeyError(*unknown)
    found = {name: _text(value) for name, value in given.items()}
    if "arena_extend_strategy" in found:
        found["arena_extend_strategy"] = _ARENA_STRATEGIES[found["arena_extend_strategy"]]
    if "gpu_mem_limit" in found and any(name in found for name in _ARENA):
        found["max_mem"] = found.pop("gpu_mem_limit")
    return found


def check_device(provider: str, device: str) -> None:
    """Whether a loaded model is where it was asked to be. Raises `ModelUnusable`."""
    wanted = ("cpu",) if provider == "cpu" else PROVIDERS[provider].devices
    if device.lower() not in wanted:
        raise unavailable(f"{provider} was asked for, but GenAI took {device}")


def unusable(provider: str, folder: Path, error: GenAIError) -> ModelUnusable:
    """What GenAI's refusal to load `folder` means: no room, no such provider here, or a broken model."""
    said = str(error)
    words = said.replace(str(folder), "").lower()  # a folder may be called llama-cuda
    if provider != "cpu" and any(sign in words for sign in _NO_ROOM):
        remedy = "raise providerOptions' gpuMemLimit if it is set, or use a device with more memory or a smaller model"
        return ModelUnusable("OutOfMemory", f"{folder} finds no room on {provider}: {said.strip()}; {remedy}")
    if provider != "cpu" and any(sign in words for sign in PROVIDERS[provider].signs):
        return unavailable(f"{provider} was asked for, and ONNX Runtime GenAI says: {said.strip()}")
    return ModelUnusable("ModelInvalid", f"ONNX Runtime GenAI cannot load {folder}: {said}")


def unavailable(why: str) -> ModelUnusable:
    """The provider cannot run here."""
    remedy = "use an image with that provider on a node that has the device, or set the device to cpu"
    return ModelUnusable("ExecutionProviderUnavailable", f"{why}; {remedy}")


def _text(value: int | bool | str) -> str:
    return str(int(value)) if isinstance(value, bool | int) else value


def _choose_device(number: int) -> None:
    """Show CUDA one device only, the `number`-th of those that this process may use."""
    before = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    if before and number >= len(before):
        raise unavailable(f"device {number} was asked for, and CUDA_VISIBLE_DEVICES shows {len(before)}")
    os.environ["CUDA_VISIBLE_DEVICES"] = before[number] if before else str(number)


def load_cuda_libraries() -> None:
    """CUDA's libraries where PyPI's wheels put them. Once loaded, they are found by name, as GenAI looks for them."""
    root = genai_capi.onnxruntime_folder().parent / "nvidia"
    for name in _CUDA_LIBRARIES:
        for path in sorted(root.glob(f"*/lib/{name}"))[:1]:
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                _log.warning("a library of CUDA does not load", error=str(error))


def _scratch(provider: str) -> Path:
    folder = Path(tempfile.gettempdir()) / _SCRATCH / provider
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
