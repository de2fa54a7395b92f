"""Triton's parameters for its ONNX Runtime backend, but for TensorRT's: session, threads, CUDA, the command line."""

from genai_operator.parameters.row import Already, Reader, Row, Section, State, unsupported
from genai_operator.parameters.values import (
    flag,
    memory,
    one_of,
    shrinkage,
    threads,
    threads_or_own_choice,
    whole,
)

_EFFECTS = "unit/runtime/test_session_options.py::"
_GPU = "gpu/test_cuda.py::"
_STRINGS = "unit/runtime/test_providers.py::"
_CONVERT = "unit/controller/test_convert.py::"
_REASON = f"{_CONVERT}test_what_has_no_home_is_named_with_its_reason"
_SEARCHES = {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}
_GPU_TESTS = {
    "gpu_mem_limit": "test_a_limit_on_memory_holds",
    "device_id": "test_a_device_that_is_not_there_is_unavailable",
}
_STRATEGIES = {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}


def _named(numbers: dict[str, str]) -> Reader:
    """The older form has numbers, the newer ONNX Runtime's own names."""
    return one_of({**numbers, **{name: name for name in numbers.values()}})


def _cuda(key: str, option: str, read: Reader, words: str = "") -> Row:
    return Row(
        key=key,
        test=f"{_GPU}{_GPU_TESTS.get(key, 'test_onnxruntime_takes_every_option')}",
        field=f"providerOptions.cuda.{option}",
        words=words,
        state=State.NVIDIA_GPU,
        read=read,
    )


def _given_to_cuda(key: str, option: str, read: Reader) -> Row:
    return Row(
        key=key,
        test=f"{_STRINGS}test_cudas_options_are_strings_as_genai_takes_them",
        field=f"providerOptions.cuda.{option}",
        state=State.RENDERED,
        read=read,
    )


def _openvino(key: str, option: str, read: Reader) -> Row:
    return Row(
        key=key,
        test=f"{_STRINGS}test_the_other_providers_options_are_strings_as_genai_takes_them",
        field=f"providerOptions.openvino.{option}",
        state=State.RENDERED,
        read=read,
    )


_OLDER = (
    _cuda("cudnn_conv_algo_search", "cudnnConvAlgoSearch", _named(_SEARCHES), "By name instead of by number."),
    _cuda("gpu_mem_limit", "gpuMemLimit", memory),
    _cuda("arena_extend_strategy", "arenaExtendStrategy", _named(_STRATEGIES), "By name instead of by number."),
    _cuda("do_copy_in_default_stream", "doCopyInDefaultStream", flag),
)

CUDA = Section(
    "cuda",
    "Triton's CUDA accelerator",
    "`optimization.execution_accelerators.gpu_execution_accelerator`, name `cuda`. It becomes `provider: cuda`.",
    (
        _cuda("cudnn_conv_use_max_workspace", "cudnnConvUseMaxWorkspace", flag),
        _cuda("use_ep_level_unified_stream", "useEpLevelUnifiedStream", flag),
        *_OLDER,
        _cuda("use_tf32", "useTf32", flag),
        _given_to_cuda("enable_cuda_graph", "enableCudaGraph", flag),
        _cuda("device_id", "deviceId", whole, "Of the GPUs that the pod has."),
        _cuda("initial_chunk_size_bytes", "initialChunkSizeBytes", memory),
        _given_to_cuda("initial_growth_chunk_size_bytes", "initialGrowthChunkSizeBytes", memory),
        _given_to_cuda("max_dead_bytes_per_chunk", "maxDeadBytesPerChunk", memory),
    ),
)

CUDA_PARAMETERS = Section(
    "parameters",
    "Triton's CUDA parameters, in their older form",
    "The map `parameters` of a model's configuration. Any of them makes a model that says nothing else a CUDA model.",
    _OLDER,
)

OPENVINO = Section(
    "openvino",
    "Triton's OpenVINO accelerator",
    "`optimization.execution_accelerators.cpu_execution_accelerator`, name `openvino`. It becomes "
    "`provider: openvino`. Triton names no parameters; these are ONNX Runtime's.",
    (
        _openvino("device_type", "deviceType", one_of({name: name for name in ("CPU", "GPU", "NPU")})),
        _openvino("num_of_threads", "numOfThreads", whole),
        _openvino("num_streams", "numStreams", whole),
    ),
)

OPTIONS = Section(
    "parameters",
    "Triton's parameters of a model",
    "The map `parameters` of a model's configuration.",
    (
        Row(
            key="execution_mode",
            test=f"{_EFFECTS}test_operators_run_at_the_same_time_on_threads_of_their_own",
            field="session.executionMode",
            words="0 is `sequential`, 1 `parallel`.",
            read=one_of({"0": "sequential", "1": "parallel"}),
        ),
        Row(
            key="intra_op_thread_count",
            test=f"{_EFFECTS}test_intra_op_threads_are_made",
            field="threads.intraOp",
            words="0 is `auto`: the pod's CPU limit instead of the machine's cores.",
            read=threads,
        ),
        Row(
            key="inter_op_thread_count",
            test=f"{_EFFECTS}test_operators_run_at_the_same_time_on_threads_of_their_own",
            field="threads.interOp",
            words="Only with execution_mode 1, as in Triton; 0 is an absent field.",
            read=threads_or_own_choice,
        ),
        Row(
            key="enable_mem_arena",
            test=f"{_EFFECTS}test_memory_is_planned_and_kept_as_told",
            field="session.memoryArena",
            read=flag,
        ),
        Row(
            key="enable_mem_pattern",
            test=f"{_EFFECTS}test_memory_is_planned_and_kept_as_told",
            field="session.memoryPattern",
            read=flag,
        ),
        Row(
            key="memory.enable_memory_arena_shrinkage",
            test="unit/runtime/test_batch_arena.py::test_a_prompts_scratch_is_given_back_while_it_is_on",
            field="runtimeOptions.arenaShrinkage",
            words="A live option: it can be set and unset while a pod serves. Of the CPU's arena only.",
            read=shrinkage,
        ),
        unsupported(
            "session.use_device_allocator_for_initializers",
            "it changes nothing: this release of ONNX Runtime keeps weights outside the arena's chunks in any case",
            "unit/runtime/test_options_without_effect.py::"
            "test_weights_lie_outside_the_arenas_chunks_whoever_allocates_them",
        ),
        unsupported("share_session_between_instances", "a pod has one session, and all its requests share it", _REASON),
    ),
)


def _one_pool(text: str) -> object:
    flag(text)
    raise Already("a pod serves one model, so its session's threads are all that there are")


COMMAND_LINE = Section(
    "backend-config",
    "Triton's command line",
    "`--backend-config=onnxruntime,KEY=VALUE`. `genai-operator convert` takes the same option.",
    (
        Row(
            key="enable-global-threadpool",
            test=f"{_CONVERT}test_the_global_pools_threads_are_the_models",
            home="always so",
            words="A pod serves one model, so its session's threads are all that there are. With 1, "
            "`intra_op_thread_count` and `inter_op_thread_count` of the command line are the model's, and those of "
            "its own configuration are ignored, as Triton does.",
            read=_one_pool,
        ),
        Row(
            key="intra_op_thread_count",
            test=f"{_EFFECTS}test_intra_op_threads_are_made",
            field="threads.intraOp",
            words="With enable-global-threadpool=1 only, as in Triton.",
            read=threads,
        ),
        Row(
            key="inter_op_thread_count",
            test=f"{_EFFECTS}test_operators_run_at_the_same_time_on_threads_of_their_own",
            field="threads.interOp",
            words="With enable-global-threadpool=1 only, as in Triton, and with execution_mode 1.",
            read=threads_or_own_choice,
        ),
        Row(
            key="default-max-batch-size",
            test="unit/runtime/test_batch_engine.py::test_more_requests_than_rows_take_turns_by_priority",
            field="engine.maxBatchSize",
            words="Where the configuration says none, or 0.",
            read=whole,
        ),
    ),
)
