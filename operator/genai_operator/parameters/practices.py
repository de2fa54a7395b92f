"""The practices for low latency that guides to ONNX Runtime name. What each gained here is in docs/latency.md."""

from genai_operator.parameters.row import Row, Section, State, unsupported

_EFFECTS = "unit/runtime/test_session_options.py::"

PRACTICES = Section(
    "practices",
    "Practices for low latency",
    "What guides to ONNX Runtime advise, under the names of its API. Most of it is so without being asked for; "
    "[latency](latency.md) says how, and what it gained.",
    (
        Row(
            key="SetGraphOptimizationLevel",
            test=f"{_EFFECTS}test_an_optimised_graph_runs_fewer_operators",
            field="session.graphOptimizationLevel",
            words="Absent: all optimizations.",
        ),
        Row(
            key="SetIntraOpNumThreads",
            test="cluster/test_threads.py::test_threads_follow_the_cpu_limit_and_spin_where_it_is_whole",
            field="threads.intraOp",
            words="`auto` is the pod's CPU limit, not the machine's cores.",
        ),
        Row(
            key="SetInterOpNumThreads",
            test=f"{_EFFECTS}test_operators_run_at_the_same_time_on_threads_of_their_own",
            field="threads.interOp",
            words="Only with session.executionMode parallel.",
        ),
        Row(
            key="enable_cuda_graph",
            test="unit/runtime/test_providers.py::test_cudas_options_are_strings_as_genai_takes_them",
            field="providerOptions.cuda.enableCudaGraph",
            words="For folders that were built for it.",
            state=State.RENDERED,
        ),
        unsupported(
            "min_num_runs_before_cuda_graph_capture",
            "an option of CUDA as a plug-in; ONNX Runtime GenAI records the graph itself, and a pod warms up first",
            "unit/runtime/test_providers.py::test_an_option_that_is_not_in_the_table_reaches_nobody",
        ),
        Row(
            key="trt_fp16_enable",
            test="unit/runtime/test_precision.py::test_a_model_that_is_not_what_was_said_is_refused_with_both_named",
            field="precision",
            words="The precision is the model's own, and is checked.",
        ),
        Row(
            key="trt_engine_cache_enable",
            test="unit/runtime/test_providers.py::test_the_other_providers_options_are_strings_as_genai_takes_them",
            field="providerOptions.trtRtx.runtimeCache",
            words="Of TensorRT-RTX.",
            state=State.RENDERED,
        ),
        Row(
            key="trt_max_workspace_size",
            test="unit/runtime/test_providers.py::test_the_other_providers_options_are_strings_as_genai_takes_them",
            field="providerOptions.trtRtx.maxWorkspaceSize",
            words="Of TensorRT-RTX.",
            state=State.RENDERED,
        ),
        Row(
            key="IoBinding",
            test="unit/runtime/test_ort.py::test_runs_over_given_memory",
            home="always so",
            words="Inputs, outputs and the KV cache are bound; no run copies the past.",
        ),
        Row(
            key="EnableCpuMemArena",
            test=f"{_EFFECTS}test_memory_is_planned_and_kept_as_told",
            field="session.memoryArena",
        ),
        Row(
            key="EnableMemPattern",
            test=f"{_EFFECTS}test_memory_is_planned_and_kept_as_told",
            field="session.memoryPattern",
        ),
        Row(
            key="reduced precision",
            test="cluster/test_model_build.py::test_a_model_is_built_served_and_built_anew_while_it_serves",
            field="model.build",
            words="To precision, with what it lost measured ([building a model](model-build.md)). What was built "
            "elsewhere is checked when it is loaded.",
        ),
        Row(
            key="warm-up runs",
            test="contract/test_front_placement.py::test_without_a_warm_up_nothing_is_timed",
            field="warmup.prompts",
            words="Absent: one short prompt. A pod is Ready only afterwards.",
        ),
        Row(
            key="EnableProfiling",
            test="cluster/test_live_options.py::test_a_window_becomes_one_trace",
            home="[GenAIProfile](genaiprofile.md), `enable-profiling`",
            words="On pods that serve; the trace names where the time went, and what fell back to the CPU.",
        ),
    ),
)
