"""The fields of Triton's model configuration themselves: instances, batching, queues, warm-up. Keys are their paths."""

from genai_operator.parameters.row import Row, Section, State, unsupported
from genai_operator.parameters.values import one_of

_CONVERT = "unit/controller/test_convert.py::"
_REPLICAS = "cluster/test_replicas.py::test_three_replicas_acknowledge_and_a_new_pod_comes_back_halted"
_SAID = f"{_CONVERT}test_a_field_without_a_home_is_named_with_its_reason"
_PROVIDER = "optimization.execution_accelerators"
_MISSING = "unit/runtime/test_providers.py::test_a_provider_that_the_wheel_lacks_is_unavailable"
_PLANS = "Triton reads it for TensorRT plans only, not for ONNX models"
_FILES = "genai_config.json names the model's files"
_GRAPH = "the graph and genai_config.json say it"
_BATCH_TENSORS = "ONNX Runtime GenAI gives the graph its inputs"
_PRIORITIES = "the queue is one: higher priorities first, and within a priority clients take turns"

LEVEL = Row(
    key="optimization.graph.level",
    test="unit/runtime/test_session_options.py::test_the_graph_is_optimised_as_far_as_told",
    field="session.graphOptimizationLevel",
    words="-1 is `basic`, 1 `extended`, 2 `disabled`, 0 `all`.",
    read=one_of({"-1": "basic", "0": "all", "1": "extended", "2": "disabled"}),
)


def _no(key: str, reason: str) -> Row:
    return unsupported(key, reason, _SAID)


CONFIG = Section(
    "config",
    "Triton's model configuration",
    "Fields of `config.pbtxt`, by their paths.",
    (
        Row(
            key="max_batch_size",
            test="unit/runtime/test_batch_engine.py::test_more_requests_than_rows_take_turns_by_priority",
            field="engine.maxBatchSize",
            words="0, which is no batching, is not carried over: requests always run together.",
        ),
        Row(
            key="instance_group.kind",
            test=_MISSING,
            field="provider",
            words="KIND_CPU is `cpu` or `openvino`, KIND_GPU `cuda` or `trt-rtx`, by the accelerators.",
        ),
        Row(
            key="instance_group.count",
            test=_REPLICAS,
            field="replicas",
            words="Of groups on CPUs. On GPUs one pod a GPU: its engine runs many requests at once, and a second copy "
            "of the model on the same GPU would only take memory from its cache.",
        ),
        Row(
            key="instance_group.gpus",
            test=_REPLICAS,
            field="replicas",
            words="How many there are. Which ones is Kubernetes' choice; nodeSelector and resources say of which kind.",
        ),
        _no("instance_group.name", "pods are named by their Deployment"),
        _no("instance_group.rate_limiter", "models share no server here; resources and the queue limit each pod"),
        _no("instance_group.profile", "a profile of a TensorRT plan, not of ONNX models"),
        _no("instance_group.passive", "a pod that takes no requests: suspend: true runs none at all"),
        _no("instance_group.secondary_devices", "deep learning accelerators are classic TensorRT's"),
        _no("instance_group.host_policy", "nodeSelector, affinity and the CPU manager do it"),
        LEVEL,
        Row(
            key=f"{_PROVIDER}: tensorrt",
            test=_MISSING,
            field="provider",
            words="`trt-rtx`: ONNX Runtime GenAI cannot load classic TensorRT.",
            state=State.RENDERED,
        ),
        Row(
            key=f"{_PROVIDER}: cuda",
            test="gpu/test_cuda.py::test_tokens_are_the_cpus",
            field="provider",
            words="`cuda`",
            state=State.NVIDIA_GPU,
        ),
        Row(
            key=f"{_PROVIDER}: openvino",
            test=_MISSING,
            field="provider",
            words="`openvino`",
            state=State.RENDERED,
        ),
        _no("optimization.priority", _PLANS),
        _no("optimization.cuda", f"{_PLANS}; CUDA graphs are providerOptions.cuda.enableCudaGraph"),
        _no("optimization.gather_kernel_buffer_threshold", _PLANS),
        _no("optimization.eager_batching", _PLANS),
        _no("optimization.input_pinned_memory", "inputs and outputs are bound, not copied"),
        _no("optimization.output_pinned_memory", "inputs and outputs are bound, not copied"),
        Row(
            key="dynamic_batching",
            test="unit/runtime/test_batch_engine.py::test_one_step_serves_all_rows",
            home="always so",
            words="A request joins at the next token: on the CPU all advance in one batch, elsewhere they take turns.",
        ),
        _no("dynamic_batching.preferred_batch_size", "a batch has as many rows as there are requests"),
        _no("dynamic_batching.max_queue_delay_microseconds", "no request waits for others to come"),
        _no("dynamic_batching.preserve_ordering", "every request has a stream of its own, whose order is kept"),
        Row(
            key="dynamic_batching.priority_levels",
            test="unit/runtime/test_fair_queue.py::test_priorities_fall_and_each_client_keeps_its_order",
            home="`priority` of a request",
            words="1 (first) to 9, as Triton's clients send it.",
        ),
        _no("dynamic_batching.default_priority_level", "a request without a priority is in the middle"),
        _no("dynamic_batching.priority_queue_policy", _PRIORITIES),
        Row(
            key="dynamic_batching.default_queue_policy.max_queue_size",
            test="contract/test_front_grpc.py::test_a_full_queue_is_refused_with_a_delay",
            field="server.maxQueueLength",
            words="0, a queue without a bound, is not to be had.",
        ),
        Row(
            key="dynamic_batching.default_queue_policy.default_timeout_microseconds",
            test="contract/test_front_grpc.py::test_waiting_too_long_is_refused",
            field="server.maxQueueSeconds",
            words="Rounded up to whole seconds; 0, waiting without a bound, is not to be had.",
        ),
        Row(
            key="dynamic_batching.default_queue_policy.timeout_action",
            test="contract/test_front_grpc.py::test_waiting_too_long_is_refused",
            home="REJECT is always so",
            words="A request that waited too long is refused, so that its client can go elsewhere. There is no DELAY.",
        ),
        Row(
            key="dynamic_batching.default_queue_policy.allow_timeout_override",
            test="contract/test_front_grpc.py::test_a_deadline_reaches_the_engine_and_has_its_finish",
            home="true is always so",
            words="A client's own deadline always ends its request.",
        ),
        _no(
            "sequence_batching",
            "a conversation is sent whole with each request; what was read before is kept (engine.prefixCaching)",
        ),
        _no("ensemble_scheduling", "an ensemble is a pipeline of models; only its models can be converted"),
        Row(
            key="model_transaction_policy.decoupled",
            test="contract/test_front_grpc.py::test_chat_streams_text_ids_usage_and_timings",
            home="always so",
            words="Answers are streamed token by token; who does not ask for a stream gets one answer.",
        ),
        _no("version_policy", "one folder is served; another version is a GenAIModel of its own"),
        Row(key="input", test=_SAID, home="the graph's own", words=_GRAPH),
        Row(key="output", test=_SAID, home="the graph's own", words=_GRAPH),
        _no("batch_input", _BATCH_TENSORS),
        _no("batch_output", _BATCH_TENSORS),
        _no("default_model_filename", _FILES),
        _no("cc_model_filenames", _FILES),
        _no("metric_tags", "metrics carry the model's and the pod's names; Prometheus adds labels of your own"),
        _no(
            "model_warmup",
            "it is made of tensors. A pod warms up with a prompt in any case; warmup.prompts are texts of your own",
        ),
        Row(
            key="model_operations.op_library_filename",
            test="contract/test_malicious_folders.py::test_a_library_of_custom_operators_is_loaded_where_that_is_allowed",
            field="model.customOperators",
            words="Libraries in the model's folder run code in the pod, and are loaded where this is Allow: "
            "for you to say, not for a configuration that came with the model.",
        ),
        _no("model_repository_agents", "no agent reads a model's files; model.sha256 says what they must be"),
        _no(
            "response_cache",
            "answers are sampled anew; what was computed of a prompt is kept (engine.prefixCaching)",
        ),
        _no("runtime", "the runtime is the image's: spec.image"),
        _no("model_metrics", "histograms have fixed buckets, so that models can be compared"),
    ),
)

# What is said of a field; `convert` says the same.
WORDS = {row.key: row.words for row in CONFIG.rows}
