"""`spec.provider`, `providerFallback`, `providerOptions` and `precision`: what a model runs on, and how.

Types, bounds, and what the options are to the runtime. ONNX Runtime's own strings for them are the runtime's; which
image has a provider is `builders/`'. Fields are named as in ONNX Runtime and in Triton's configurations.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt

from genai_operator.api.base import ApiModel
from genai_operator.api.engine_spec import Memory
from genai_operator.api.quantity import parse_quantity

Provider = Literal["cpu", "cuda", "trt-rtx", "openvino", "webgpu", "dml", "qnn"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]

# The providers that run on an NVIDIA GPU.
NVIDIA = ("cuda", "trt-rtx")

MAX_DEVICE = 63
MAX_STREAMS = 1024

DeviceId = Annotated[StrictInt, Field(ge=0, le=MAX_DEVICE)]
Streams = Annotated[StrictInt, Field(ge=1, le=MAX_STREAMS)]

_GROUPS = {"cuda": "cuda", "trt-rtx": "trtRtx", "openvino": "openvino"}
OPTIONS_EXPLANATION = "providerOptions may only have those of the provider: cuda, trtRtx or openvino"
# CEL, with `self` the spec.
OPTIONS_RULE = (
    "!has(self.providerOptions) || ("
    + " && ".join(
        f"(!has(self.providerOptions.{group}) || self.provider == '{provider}')" for provider, group in _GROUPS.items()
    )
    + ")"
)


class _Options(ApiModel):
    """What is absent is left to the provider."""

    def settings(self) -> dict[str, Any]:
        """By the names of the runtime's settings; sizes in bytes."""
        given = self.model_dump(exclude_none=True)
        return {name: int(parse_quantity(value)) if name in _SIZES else value for name, value in sorted(given.items())}


_SIZES = (
    *("gpu_mem_limit", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk", "initial_growth_chunk_size_bytes"),
    "max_workspace_size",
)


class CudaOptions(_Options):
    """Options of ONNX Runtime's CUDA provider."""

    device_id: DeviceId | None = Field(
        default=None, description="Which of the GPUs that the pod has, counted from 0. Absent: the first."
    )
    gpu_mem_limit: Memory | None = Field(
        default=None,
        description="Most that ONNX Runtime's arena may take of the GPU's memory; CUDA itself needs some beside it. "
        "Absent: all.",
    )
    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = Field(
        default=None, description="How the arena grows. Absent: kNextPowerOfTwo."
    )
    initial_chunk_size_bytes: Memory | None = Field(default=None, description="Size of the arena's first allocation.")
    max_dead_bytes_per_chunk: Memory | None = Field(
        default=None, description="A free chunk that exceeds a request by more than this is split."
    )
    initial_growth_chunk_size_bytes: Memory | None = Field(
        default=None, description="Size of the arena's second allocation, with kNextPowerOfTwo."
    )
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] | None = Field(
        default=None, description="How cuDNN's algorithm for a convolution is found. Absent: EXHAUSTIVE."
    )
    cudnn_conv_use_max_workspace: StrictBool | None = Field(
        default=None, description="Whether that search may use as much memory as it wants. Absent: true."
    )
    do_copy_in_default_stream: StrictBool | None = Field(
        default=None, description="Whether copies are made in the stream that computes. Absent: true."
    )
    use_ep_level_unified_stream: StrictBool | None = Field(
        default=None, description="Whether all runs share one stream. Absent: false."
    )
    use_tf32: StrictBool | None = Field(
        default=None, description="Whether products of fp32 may be rounded to TF32. Absent: true."
    )
    enable_cuda_graph: StrictBool | None = Field(
        default=None,
        description="Record the kernels of a decode run once and replay them. Needs a model that was built for it, "
        "all of whose operators run on the GPU.",
    )


class TrtRtxOptions(_Options):
    """Options of NVIDIA TensorRT for RTX. Its shape profiles follow the context length and the batch by themselves."""

    device_id: DeviceId | None = Field(
        default=None, description="Which of the GPUs that the pod has, counted from 0. Absent: the first."
    )
    max_workspace_size: Memory | None = Field(
        default=None,
        description="Most that the engine may take of the GPU's memory as scratch. Absent: its own choice.",
    )
    runtime_cache: StrictBool | None = Field(
        default=None,
        description="Keep compiled kernels in the pod, for a container that is started again. Absent: false.",
    )
    dump_subgraphs: StrictBool | None = Field(
        default=None, description="Write the subgraphs that it took into the pod's /tmp, to look at. Absent: false."
    )
    detailed_build_log: StrictBool | None = Field(
        default=None, description="Log how the engine is built. Absent: false."
    )
    multi_profile: StrictBool | None = Field(
        default=None, description="Profiles of their own for prompts and for decoding. Absent: false."
    )
    enable_cuda_graph: StrictBool | None = Field(
        default=None, description="Record the kernels of a decode run once and replay them. Absent: false."
    )


class OpenVinoOptions(_Options):
    """Options of OpenVINO."""

    device_type: Literal["CPU", "GPU", "NPU"] | None = Field(
        default=None, description="What OpenVINO computes on. Absent: CPU."
    )
    num_of_threads: Streams | None = Field(default=None, description="Threads of its own, on the CPU.")
    num_streams: Streams | None = Field(default=None, description="Requests that it computes side by side. Absent: 1.")
    model_cache: StrictBool | None = Field(
        default=None, description="Keep the compiled model in the pod, for a container that is started again."
    )
    enable_causallm: StrictBool | None = Field(
        default=None, description="Let OpenVINO hold the KV cache itself. Absent: false."
    )


class ProviderOptions(ApiModel):
    """At most those of `provider`."""

    cuda: CudaOptions | None = None
    trt_rtx: TrtRtxOptions | None = None
    openvino: OpenVinoOptions | None = None

    def fit(self, provider: Provider) -> bool:
        """Whether there are options of this provider only."""
        return all(
            getattr(self, name) is None or name == provider.replace("-", "_") for name in type(self).model_fields
        )

    def settings(self) -> dict[str, Any]:
        """As the runtime reads them."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: options.settings() for name, options in given.items() if options is not None}
