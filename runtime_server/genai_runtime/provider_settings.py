"""Typed options of execution providers as the server is told them; ONNX Runtime's names are `engine/providers.py`'s.

A field here is the spec's field of the same name (docs/providers.md).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Provider = Literal["cpu", "cuda", "trt-rtx", "openvino", "webgpu", "dml", "qnn"]

# What others call the same.
_ALIASES = {
    "directml": "dml",
    "gpu": "cuda",
    "nvtensorrtrtx": "trt-rtx",
    "tensorrt-rtx": "trt-rtx",
}


def _plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _ALIASES.get(value.strip().lower(), value.strip().lower())


Device = Annotated[Provider, BeforeValidator(_plain)]

DeviceId = Annotated[int, Field(ge=0, le=63)]
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Threads = Annotated[int, Field(ge=1, le=1024)]


class _Options(BaseModel):
    """None: left to the provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CudaOptions(_Options):
    """Of ONNX Runtime's CUDA provider."""

    device_id: DeviceId | None = None
    gpu_mem_limit: Bytes | None = None
    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = None
    initial_chunk_size_bytes: Bytes | None = None
    max_dead_bytes_per_chunk: Bytes | None = None
    initial_growth_chunk_size_bytes: Bytes | None = None
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] | None = None
    cudnn_conv_use_max_workspace: bool | None = None
    do_copy_in_default_stream: bool | None = None
    use_ep_level_unified_stream: bool | None = None
    use_tf32: bool | None = None
    enable_cuda_graph: bool | None = None


class TrtRtxOptions(_Options):
    """Of TensorRT for RTX. Its shape profiles are GenAI's to make, from context length and batch."""

    device_id: DeviceId | None = None
    max_workspace_size: Bytes | None = None
    runtime_cache: bool | None = None
    dump_subgraphs: bool | None = None
    detailed_build_log: bool | None = None
    multi_profile: bool | None = None
    enable_cuda_graph: bool | None = None


class OpenVinoOptions(_Options):
    """Of OpenVINO."""

    device_type: Literal["CPU", "GPU", "NPU"] | None = None
    num_of_threads: Threads | None = None
    num_streams: Threads | None = None
    model_cache: bool | None = None
    enable_causallm: bool | None = None


class ProviderOptions(_Options):
    """At most those of the provider that is served with: the settings refuse others."""

    cuda: CudaOptions | None = None
    trt_rtx: TrtRtxOptions | None = None
    openvino: OpenVinoOptions | None = None

    def foreign(self, provider: Provider) -> list[str]:
        """The groups that belong to another provider."""
        return [name for name in type(self).model_fields if getattr(self, name) and name != provider.replace("-", "_")]

    def of(self, provider: Provider) -> dict[str, int | bool | str]:
        """What was said for `provider`, by field name."""
        options = getattr(self, provider.replace("-", "_"), None)
        return {} if options is None else options.model_dump(exclude_none=True)
