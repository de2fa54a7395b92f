"""Triton's keys for classic TensorRT. ONNX Runtime GenAI has TensorRT for RTX instead, whose options are fewer."""

from genai_operator.parameters.row import Row, Section, State, unsupported
from genai_operator.parameters.values import flag, memory, precision

_OPTION = "unit/runtime/test_providers.py::test_the_other_providers_options_are_strings_as_genai_takes_them"
_PRECISION = "unit/runtime/test_precision.py::test_a_model_that_is_not_what_was_said_is_refused_with_both_named"
_REASON = "unit/controller/test_convert.py::test_what_has_no_home_is_named_with_its_reason"

_STRONGLY_TYPED = "TensorRT-RTX computes in the model's own types"
_CALIBRATION = f"{_STRONGLY_TYPED}: a quantised model carries its scales in its own Q/DQ nodes"
_NO_SUCH_OPTION = "TensorRT-RTX has no such option"
_NO_DLA = "deep learning accelerators are classic TensorRT's; TensorRT-RTX does not use them"
_OWN_TUNING = "TensorRT-RTX chooses and compiles kernels on the device by itself, and has no such option"
_SHAPES = "ONNX Runtime GenAI makes the shapes itself, from engine.maxSequenceLength and engine.maxBatchSize"
_NO_PATHS = "where files lie in a pod is not the resource's to say"
_CONTEXT = (
    "a compiled model is written into the model's folder, which pods mount read-only; "
    "providerOptions.trtRtx.runtimeCache keeps compiled kernels"
)


def _rtx(key: str, option: str, read: object, words: str = "") -> Row:
    return Row(
        key=key,
        test=_OPTION,
        field=f"providerOptions.trtRtx.{option}",
        words=words,
        state=State.RENDERED,
        read=read,  # type: ignore[arg-type]
    )


TENSORRT = Section(
    "tensorrt",
    "Triton's TensorRT accelerator",
    "`optimization.execution_accelerators.gpu_execution_accelerator`, name `tensorrt`. It becomes `provider: trt-rtx`: "
    "ONNX Runtime GenAI cannot load classic TensorRT.",
    (
        _rtx("max_workspace_size_bytes", "maxWorkspaceSize", memory),
        unsupported("trt_max_partition_iterations", _NO_SUCH_OPTION, _REASON),
        unsupported("trt_min_subgraph_size", _NO_SUCH_OPTION, _REASON),
        Row(
            key="precision_mode",
            test=_PRECISION,
            field="precision",
            words=f"{_STRONGLY_TYPED}. So the model must be of that precision, which is checked when it is loaded; "
            "`FP32` asks for nothing.",
            read=precision,
            check="the graph in the folder must have it already: TensorRT-RTX converts none, and another is refused",
        ),
        unsupported("int8_calibration_table_name", _CALIBRATION, _REASON),
        unsupported("int8_use_native_calibration_table", _CALIBRATION, _REASON),
        unsupported("trt_dla_enable", _NO_DLA, _REASON),
        unsupported("trt_dla_core", _NO_DLA, _REASON),
        _rtx("trt_engine_cache_enable", "runtimeCache", flag),
        unsupported("trt_engine_cache_path", f"{_NO_PATHS}; providerOptions.trtRtx.runtimeCache has its own", _REASON),
        unsupported("trt_engine_cache_prefix", f"{_NO_PATHS}; a pod's cache is of one model", _REASON),
        _rtx("trt_dump_subgraphs", "dumpSubgraphs", flag),
        unsupported("trt_force_sequential_engine_build", "a pod loads one model", _REASON),
        unsupported("trt_context_memory_sharing_enable", _NO_SUCH_OPTION, _REASON),
        unsupported("trt_layer_norm_fp32_fallback", _STRONGLY_TYPED, _REASON),
        _rtx("trt_timing_cache_enable", "runtimeCache", flag, "There is one cache, of compiled kernels."),
        unsupported("trt_timing_cache_path", f"{_NO_PATHS}; providerOptions.trtRtx.runtimeCache has its own", _REASON),
        unsupported("trt_force_timing_cache", _NO_SUCH_OPTION, _REASON),
        _rtx("trt_detailed_build_log", "detailedBuildLog", flag),
        unsupported("trt_build_heuristics_enable", _OWN_TUNING, _REASON),
        unsupported("trt_sparsity_enable", _OWN_TUNING, _REASON),
        unsupported("trt_builder_optimization_level", _OWN_TUNING, _REASON),
        unsupported("trt_auxiliary_streams", _NO_SUCH_OPTION, _REASON),
        unsupported("trt_tactic_sources", _OWN_TUNING, _REASON),
        unsupported("trt_extra_plugin_lib_paths", "no code is loaded that is not in the image", _REASON),
        unsupported("trt_profile_min_shapes", _SHAPES, _REASON),
        unsupported("trt_profile_max_shapes", _SHAPES, _REASON),
        unsupported("trt_profile_opt_shapes", _SHAPES, _REASON),
        _rtx("trt_cuda_graph_enable", "enableCudaGraph", flag),
        unsupported("trt_dump_ep_context_model", _CONTEXT, _REASON),
        unsupported("trt_ep_context_file_path", f"{_CONTEXT}; {_NO_PATHS}", _REASON),
        unsupported("trt_ep_context_embed_mode", _CONTEXT, _REASON),
    ),
)
