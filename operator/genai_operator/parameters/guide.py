"""What GenAI's HTTP server of the widespread guide has: its environment, its builder's flags, its requests."""

from genai_operator.parameters.row import Row, Section, unsupported

_BUILT = "cluster/test_model_build.py::test_a_model_is_built_served_and_built_anew_while_it_serves"
_ROUTES = "contract/test_http_routes.py::test_the_guides_routes"

ENVIRONMENT = Section(
    "environment",
    "The guide's server: environment and command line",
    "In the cluster the spec says it; `genai-runtime serve` by hand reads variables ([architecture](architecture.md)).",
    (
        Row(
            key="GENAI_MODEL_DIR",
            test="cluster/test_serving.py::test_a_client_gets_the_models_answer",
            field="model.uri",
        ),
        Row(
            key="GENAI_DEVICE",
            test="unit/runtime/test_providers.py::test_a_provider_that_the_wheel_lacks_is_unavailable",
            field="provider",
            words="`directml` is `dml`.",
        ),
        Row(
            key="GENAI_MAX_LENGTH",
            test="unit/runtime/test_batch_engine.py::test_the_sequence_is_bounded",
            field="engine.maxSequenceLength",
            words="Absent: the model's context length instead of 2048.",
        ),
        Row(
            key="HOST",
            test="cluster/test_http.py::test_the_same_answer_as_over_grpc",
            home="all addresses of a pod",
            words="By hand: `GENAI_HOST`.",
        ),
        Row(
            key="PORT",
            test="cluster/test_http.py::test_the_same_answer_as_over_grpc",
            home="port 8080, fixed",
            words="The Service's. By hand: `GENAI_HTTP_PORT`.",
        ),
        Row(
            key="WORKERS",
            test="cluster/test_replicas.py::test_three_replicas_acknowledge_and_a_new_pod_comes_back_halted",
            field="replicas",
            words="Each loads the model; within a pod requests run together without copies of it.",
        ),
        unsupported(
            "RELOAD",
            "pods run what is in their image; another image or spec rolls them out",
            "unit/controller/test_parameters.py::test_no_row_is_empty",
        ),
    ),
)

HTTP = Section(
    "http",
    "The guide's server: requests and answers",
    "Served as they are in the guide, beside OpenAI's routes ([HTTP](http.md)).",
    (
        Row(key="GET /healthz", test=_ROUTES, home="`GET /healthz`"),
        Row(key="POST /v1/chat", test=_ROUTES, home="`POST /v1/chat`"),
        Row(key="POST /v1/chat/stream", test=_ROUTES, home="`POST /v1/chat/stream`"),
        Row(
            key="max_tokens",
            test="unit/runtime/test_validation.py::test_new_tokens_are_bounded",
            field="generation.maxTokens",
            words="The default of a request; a request for more than generation.maxTokensLimit is refused.",
        ),
        Row(
            key="temperature",
            test="unit/runtime/test_validation.py::test_options_that_are_absent_take_the_defaults",
            field="generation.temperature",
            words="The default of a request.",
        ),
        Row(
            key="top_p",
            test="unit/runtime/test_validation.py::test_options_that_are_absent_take_the_defaults",
            field="generation.topP",
            words="The default of a request.",
        ),
        Row(
            key="top_k",
            test="unit/runtime/test_validation.py::test_options_that_are_absent_take_the_defaults",
            field="generation.topK",
            words="The default of a request.",
        ),
        Row(
            key="metrics",
            test=_ROUTES,
            home="`metrics` of an answer",
            words="Times in seconds; tokens_per_second is over the whole latency.",
        ),
        Row(
            key="the model's folder",
            test="unit/runtime/test_model_folder.py::test_every_code_has_a_remedy_a_folder_and_a_row_on_the_page",
            field="model.uri",
            words="Inspected before an engine sees it; [each defect](model-folder.md) has a code and a remedy.",
        ),
        Row(
            key="huggingface-cli download",
            test="contract/test_fetch_hub.py::test_a_model_comes_whole_and_a_second_fetch_asks_nobody",
            field="model.uri",
            words="`hf://ORG/REPOSITORY`: fetched before the pod serves ([sources](model-sources.md)).",
        ),
    ),
)

BUILDER = Section(
    "builder",
    "ONNX Runtime GenAI's model builder",
    "`python -m onnxruntime_genai.models.builder`, and Olive: what they write is a model's folder.",
    (
        Row(
            key="-m",
            test=_BUILT,
            field="model.uri",
            words="With model.build: what it is built of ([building a model](model-build.md)).",
        ),
        Row(
            key="-o",
            test="cluster/test_model_sources.py::"
            "test_a_tiny_model_is_served_from_a_configmap_and_its_adapters_from_a_hub",
            field="model.uri",
            words="The folder that was written, wherever it is put ([sources](model-sources.md)). With model.build: "
            "the cache.",
        ),
        Row(
            key="-p",
            test=_BUILT,
            field="precision",
            words="With model.build: what is built. What was built elsewhere is held to it.",
        ),
        Row(
            key="-e",
            test="unit/runtime/test_model_folder.py::"
            "test_a_model_for_another_provider_is_taken_where_that_is_asked_for",
            field="provider",
            words="A folder is built for a provider.",
        ),
        Row(
            key="--extra_options block_size",
            test=_BUILT,
            field="model.build.int4BlockSize",
        ),
        Row(
            key="--extra_options accuracy_level",
            test=_BUILT,
            field="model.build.int4AccuracyLevel",
        ),
    ),
)
