"""What Triton's configurations become: every key in the tables is carried over, or named with its reason."""

from typing import Any

import pytest

from genai_operator.parameters import triton, triton_tensorrt
from genai_operator.parameters.row import Row, State
from genai_operator.parameters.triton_config import WORDS
from genai_protocol.triton.model_config_pb2 import ModelConfig
from support.triton import notes_of, printed, spec_of


def option(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'


def accelerator(name: str, key: str, value: str) -> str:
    kind = "cpu" if name == "openvino" else "gpu"
    parameters = f'parameters {{ key: "{key}" value: "{value}" }}'
    one = f'{kind}_execution_accelerator: [ {{ name: "{name}" {parameters} }} ]'
    return f"optimization {{ execution_accelerators {{ {one} }} }}"


def value_at(spec: dict[str, Any], field: str) -> Any:
    found: Any = spec
    for part in field.split("."):
        found = found[part]
    return found


CARRIED = {
    "as many threads as are said": (option("intra_op_thread_count", "3"), "threads.intraOp", 3),
    "no number of threads is the CPU limit": (option("intra_op_thread_count", "0"), "threads.intraOp", "auto"),
    "operators side by side": (
        option("inter_op_thread_count", "2") + option("execution_mode", "1"),
        "threads.interOp",
        2,
    ),
    "one operator after the other": (option("execution_mode", "0"), "session.executionMode", "sequential"),
    "operators in parallel": (option("execution_mode", "1"), "session.executionMode", "parallel"),
    "no arena": (option("enable_mem_arena", "0"), "session.memoryArena", False),
    "an arena": (option("enable_mem_arena", "True"), "session.memoryArena", True),
    "no pattern": (option("enable_mem_pattern", "false"), "session.memoryPattern", False),
    "a shrinking arena": (
        option("memory.enable_memory_arena_shrinkage", "cpu:0;gpu:0"),
        "runtimeOptions.arenaShrinkage",
        "1",
    ),
    "a limit of the GPU's memory": (
        option("gpu_mem_limit", "4294967200"),
        "providerOptions.cuda.gpuMemLimit",
        "4294967200",
    ),
    "a search by number": (
        option("cudnn_conv_algo_search", "1"),
        "providerOptions.cuda.cudnnConvAlgoSearch",
        "HEURISTIC",
    ),
    "an arena's growth by number": (
        option("arena_extend_strategy", "1"),
        "providerOptions.cuda.arenaExtendStrategy",
        "kSameAsRequested",
    ),
    "a search by name": (
        accelerator("cuda", "cudnn_conv_algo_search", "DEFAULT"),
        "providerOptions.cuda.cudnnConvAlgoSearch",
        "DEFAULT",
    ),
    "copies in the stream that computes": (
        option("do_copy_in_default_stream", "0"),
        "providerOptions.cuda.doCopyInDefaultStream",
        False,
    ),
    "a stream for all": (
        accelerator("cuda", "use_ep_level_unified_stream", "1"),
        "providerOptions.cuda.useEpLevelUnifiedStream",
        True,
    ),
    "OpenVINO's threads": (accelerator("openvino", "num_of_threads", "4"), "providerOptions.openvino.numOfThreads", 4),
}


@pytest.mark.parametrize("case", CARRIED)
def test_a_parameter_becomes_its_field(case: str) -> None:
    text, field, want = CARRIED[case]
    assert value_at(spec_of(text), field) == want


RTX = {
    "max_workspace_size_bytes": ("1073741824", "maxWorkspaceSize", "1073741824"),
    "trt_engine_cache_enable": ("true", "runtimeCache", True),
    "trt_timing_cache_enable": ("1", "runtimeCache", True),
    "trt_dump_subgraphs": ("0", "dumpSubgraphs", False),
    "trt_detailed_build_log": ("1", "detailedBuildLog", True),
    "trt_cuda_graph_enable": ("1", "enableCudaGraph", True),
}


@pytest.mark.parametrize("key", RTX)
def test_an_option_of_tensorrt_is_one_of_tensorrt_rtx(key: str) -> None:
    value, name, want = RTX[key]
    spec = spec_of(accelerator("tensorrt", key, value))
    assert spec["provider"] == "trt-rtx"
    assert spec["providerOptions"] == {"trtRtx": {name: want}}


def test_every_option_of_tensorrt_that_has_a_home_is_tried() -> None:
    carried = {row.key for row in triton_tensorrt.TENSORRT.rows if row.state is not State.UNSUPPORTED}
    assert carried == {*RTX, "precision_mode"}


@pytest.mark.parametrize(("said", "want"), [("FP16", "fp16"), ("BF16", "bf16"), ("INT8", "int8")])
def test_a_precision_is_what_the_model_must_be(said: str, want: str) -> None:
    text = accelerator("tensorrt", "precision_mode", said)
    assert spec_of(text)["precision"] == want
    assert "spec.precision: the graph in the folder must have it already" in notes_of(printed(text))


def test_fp32_asks_for_nothing() -> None:
    assert "precision" not in spec_of(accelerator("tensorrt", "precision_mode", "FP32"))


WITHOUT_HOME = [
    *(("tensorrt", row) for row in triton_tensorrt.TENSORRT.rows if row.state is State.UNSUPPORTED),
    *(("parameters", row) for row in triton.OPTIONS.rows if row.state is State.UNSUPPORTED),
]


@pytest.mark.parametrize(("place", "row"), WITHOUT_HOME, ids=lambda value: getattr(value, "key", ""))
def test_what_has_no_home_is_named_with_its_reason(place: str, row: Row) -> None:
    text = option(row.key, "1") if place == "parameters" else accelerator(place, row.key, "1")
    said = printed(text)
    assert f'{place}.{row.key}: "1": {row.words}' in notes_of(said)
    assert row.key not in said.split("apiVersion:")[1]


ONE_GPU = {"limits": {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": 1}}
FIELDS = {
    "a batch": ("max_batch_size: 8", {"engine": {"maxBatchSize": 8}}),
    "copies on the CPU": ("instance_group [ { count: 3 kind: KIND_CPU } ]", {"provider": "cpu", "replicas": 3}),
    "copies in several groups": (
        "instance_group [ { count: 3 kind: KIND_CPU }, { count: 2 kind: KIND_CPU } ]",
        {"provider": "cpu", "replicas": 5},
    ),
    "GPUs, each once": (
        "instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1, 1 ] } ]",
        {"provider": "cuda", "replicas": 2, "resources": ONE_GPU},
    ),
    "GPUs by their numbers alone": (
        "instance_group [ { gpus: [ 3 ] } ]",
        {"provider": "cuda", "replicas": 1, "resources": ONE_GPU},
    ),
    "a GPU beside the CPU": (
        "instance_group [ { count: 4 kind: KIND_CPU }, { count: 1 kind: KIND_GPU } ]",
        {"provider": "cuda", "replicas": 1, "resources": ONE_GPU},
    ),
    "OpenVINO": (
        "instance_group [ { kind: KIND_CPU } ] "
        'optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "openvino" } ] } }',
        {"provider": "openvino"},
    ),
    "TensorRT before CUDA": (
        "optimization { execution_accelerators { gpu_execution_accelerator: "
        '[ { name: "tensorrt" }, { name: "cuda" } ] } }',
        {"provider": "trt-rtx", "resources": ONE_GPU},
    ),
    "basic rewriting": ("optimization { graph { level: -1 } }", {"session": {"graphOptimizationLevel": "basic"}}),
    "extended rewriting": ("optimization { graph { level: 1 } }", {"session": {"graphOptimizationLevel": "extended"}}),
    "no rewriting": ("optimization { graph { level: 2 } }", {"session": {"graphOptimizationLevel": "disabled"}}),
    "all rewriting": ("optimization { graph { level: 0 } }", {"session": {"graphOptimizationLevel": "all"}}),
    "a queue": (
        "dynamic_batching { default_queue_policy { max_queue_size: 9 default_timeout_microseconds: 1500000 } }",
        {"server": {"maxQueueLength": 9, "maxQueueSeconds": 2}},
    ),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_field_of_the_configuration_becomes_its_field(case: str) -> None:
    text, want = FIELDS[case]
    assert spec_of(text) == want


WITHOUT_FIELD = {
    "instance_group.name": 'instance_group [ { name: "a" kind: KIND_CPU } ]',
    "instance_group.rate_limiter": "instance_group [ { rate_limiter { priority: 2 } } ]",
    "instance_group.profile": 'instance_group [ { profile: "1" } ]',
    "instance_group.passive": "instance_group [ { passive: true } ]",
    "instance_group.secondary_devices": "instance_group [ { secondary_devices { device_id: 1 } } ]",
    "instance_group.host_policy": 'instance_group [ { host_policy: "a" } ]',
    "optimization.priority": "optimization { priority: PRIORITY_MAX }",
    "optimization.cuda": "optimization { cuda { graphs: true } }",
    "optimization.gather_kernel_buffer_threshold": "optimization { gather_kernel_buffer_threshold: 1 }",
    "optimization.eager_batching": "optimization { eager_batching: true }",
    "optimization.input_pinned_memory": "optimization { input_pinned_memory { enable: false } }",
    "optimization.output_pinned_memory": "optimization { output_pinned_memory { enable: true } }",
    "dynamic_batching.preferred_batch_size": "dynamic_batching { preferred_batch_size: [ 4 ] }",
    "dynamic_batching.max_queue_delay_microseconds": "dynamic_batching { max_queue_delay_microseconds: 1 }",
    "dynamic_batching.preserve_ordering": "dynamic_batching { preserve_ordering: true }",
    "dynamic_batching.default_priority_level": "dynamic_batching { default_priority_level: 1 }",
    "dynamic_batching.priority_queue_policy": "dynamic_batching { priority_queue_policy { key: 1 value { } } }",
    "sequence_batching": "sequence_batching { max_sequence_idle_microseconds: 1 }",
    "version_policy": "version_policy { all { } }",
    "input": 'input [ { name: "ids" } ]',
    "output": 'output [ { name: "logits" } ]',
    "batch_input": "batch_input { kind: BATCH_ELEMENT_COUNT }",
    "batch_output": 'batch_output { target_name: "a" }',
    "default_model_filename": 'default_model_filename: "a.onnx"',
    "cc_model_filenames": 'cc_model_filenames { key: "7.5" value: "a.onnx" }',
    "metric_tags": 'metric_tags { key: "a" value: "b" }',
    "model_warmup": 'model_warmup [ { name: "one" batch_size: 1 } ]',
    "model_operations.op_library_filename": 'model_operations { op_library_filename: "libmine.so" }',
    "model_repository_agents": 'model_repository_agents { agents [ { name: "checksum" } ] }',
    "response_cache": "response_cache { enable: true }",
    "runtime": 'runtime: "libtriton_onnxruntime.so"',
    "model_metrics": 'model_metrics { metric_control [ { metric_identifier { family: "a" } } ] }',
}


@pytest.mark.parametrize("path", WITHOUT_FIELD)
def test_a_field_without_a_home_is_named_with_its_reason(path: str) -> None:
    said = printed(WITHOUT_FIELD[path])
    (line,) = [line for line in notes_of(said).splitlines() if line.endswith(f": {WORDS[path]}")]
    assert all(part in line for part in path.split("."))


# Lists of messages whose fields each have a meaning of their own here.
LOOKED_INTO = ("instance_group",)


def leaves(message: Any, prefix: str = "") -> list[str]:
    """Paths of all fields of the message that are no messages, or lists or maps of them."""
    found = []
    for field in message.fields:
        inner = field.message_type
        alone = inner is not None and inner.fields and (not field.is_repeated or field.name in LOOKED_INTO)
        found += leaves(inner, f"{prefix}{field.name}.") if alone else [f"{prefix}{field.name}"]
    return found


def filled(path: str) -> ModelConfig:
    """A configuration with a single field, of any value."""
    config: Any = ModelConfig()
    *outer, last = path.split(".")
    inner = config
    for part in outer:
        inner = getattr(inner, part).add() if part in LOOKED_INTO else getattr(inner, part)
    field = inner.DESCRIPTOR.fields_by_name[last]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        values = getattr(inner, last)
        key = "1" if field.message_type.fields_by_name["key"].cpp_type == field.CPPTYPE_STRING else 1
        if field.message_type.fields_by_name["value"].message_type is not None:
            values.get_or_create(key)
        else:
            values[key] = "x"
    elif field.message_type is not None and field.is_repeated:
        getattr(inner, last).add()
    elif field.message_type is not None:
        getattr(inner, last).SetInParent()
    elif field.is_repeated:
        getattr(inner, last).append("x" if field.cpp_type == field.CPPTYPE_STRING else 1)
    else:
        setattr(inner, last, "x" if field.cpp_type == field.CPPTYPE_STRING else 1)
    return config


# The model's own name, and what is refused as a whole, each tested by itself.
NAMING = ("name", "platform", "backend", "ensemble_scheduling.step", "ensemble_scheduling.max_inflight_responses")


@pytest.mark.parametrize("path", sorted(set(leaves(ModelConfig.DESCRIPTOR)) - set(NAMING)))
def test_no_field_is_passed_over_in_silence(path: str) -> None:
    said = printed(str(filled(path)))
    nothing = printed("")
    assert said != nothing
    new = set(said.splitlines()) - set(nothing.splitlines())
    assert any(path.split(".")[0] in line for line in new)


def test_what_triton_does_not_have_is_named() -> None:
    said = printed('future { a: 1 } optimization { graph { level: 1 newer: [ 1, { b: "c" } ] } }')
    assert "future: Triton's model configuration is not known to have such a field" in notes_of(said)
    assert "optimization.graph.newer: Triton's" in notes_of(said)
    assert "graphOptimizationLevel: extended" in said


def test_what_the_spec_refuses_is_a_comment_in_its_words() -> None:
    said = printed(option("intra_op_thread_count", "5000") + "max_batch_size: 100000")
    assert 'parameters.intra_op_thread_count: "5000": spec.threads.intraOp' in notes_of(said)
    assert "max_batch_size: 100000: spec.engine.maxBatchSize: Input should be less than or equal to 1024" in notes_of(
        said
    )


def test_what_triton_would_ignore_is_a_comment() -> None:
    text = option("inter_op_thread_count", "2") + option("execution_mode", "0")
    assert spec_of(text) == {"session": {"executionMode": "sequential"}}
    assert 'parameters.inter_op_thread_count: "2": spec: threads.interOp needs' in notes_of(printed(text))


def test_a_value_that_cannot_be_read_is_a_comment() -> None:
    assert 'parameters.enable_mem_arena: "yes": is none of 0, 1, true and false' in notes_of(
        printed(option("enable_mem_arena", "yes"))
    )


def test_of_two_that_say_the_same_field_differently_the_first_stays() -> None:
    text = (
        'optimization { execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" '
        'parameters { key: "trt_engine_cache_enable" value: "1" } '
        'parameters { key: "trt_timing_cache_enable" value: "0" } } ] } }'
    )
    assert spec_of(text)["providerOptions"] == {"trtRtx": {"runtimeCache": True}}
    assert "runtimeCache is true by tensorrt.trt_engine_cache_enable" in notes_of(printed(text))


def test_cudas_parameters_are_not_another_providers() -> None:
    text = "instance_group [ { kind: KIND_CPU } ] " + option("gpu_mem_limit", "4294967200")
    assert spec_of(text) == {"provider": "cpu"}
    assert "an option of CUDA, which this model does not run on" in notes_of(printed(text))


def test_the_global_pools_threads_are_the_models() -> None:
    text = option("intra_op_thread_count", "2")
    threads = ("onnxruntime,intra_op_thread_count=6", "onnxruntime,inter_op_thread_count=0")
    assert spec_of(text, *threads)["threads"] == {"intraOp": 2}
    both = ("onnxruntime,enable-global-threadpool=1", *threads)
    assert spec_of(text, *both)["threads"] == {"intraOp": 6}
    assert "Triton ignores it with enable-global-threadpool=1" in notes_of(printed(text, *both))


def test_the_default_batch_size_counts_where_none_is_said() -> None:
    default = "onnxruntime,default-max-batch-size=4"
    assert spec_of("", default) == {"engine": {"maxBatchSize": 4}}
    assert spec_of("max_batch_size: 0", default) == {"engine": {"maxBatchSize": 4}}
    assert spec_of("max_batch_size: 2", default) == {"engine": {"maxBatchSize": 2}}
    assert spec_of("") == {}
