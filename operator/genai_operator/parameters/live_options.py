"""ONNX Runtime GenAI's options of a live generator, and its profiling of sessions."""

from genai_operator.parameters.row import Row, Section, unsupported

_RECIPE = "cluster/test_recipes.py::test_a_page_is_what_its_reader_sees"
_HALT = "cluster/test_live_options.py::test_halt_ends_a_generation_and_serving_needs_no_reload"
_WINDOW = "cluster/test_live_options.py::test_a_window_becomes_one_trace"

OPTIONS = Section(
    "runtime-options",
    "ONNX Runtime GenAI's runtime options",
    "Set on a live generator by `SetRuntimeOption`; here on all live pods of a model "
    "([runtime options](runtime-options.md)).",
    (
        Row(
            key='terminate_session = "1"',
            test=_HALT,
            field="runtimeOptions.terminateSession",
            words="Also an annotation. Ends what runs and refuses new requests, on every pod; the weights stay loaded.",
        ),
        Row(
            key='terminate_session = "0"',
            test=_HALT,
            field="runtimeOptions.terminateSession",
            words="Serves again at once, without a reload.",
        ),
        Row(
            key='enable_profiling = "1"',
            test=_WINDOW,
            field="runtimeOptions.enableProfiling",
            words="Also an annotation. Opens a window, which ends by itself; one trace instead of a file a token.",
        ),
        Row(
            key='enable_profiling = "0"',
            test=_WINDOW,
            field="runtimeOptions.enableProfiling",
            words="Closes the window.",
        ),
        Row(
            key='enable_profiling = "<custom_prefix>"',
            test=_WINDOW,
            field="runtimeOptions.enableProfiling",
            words="A label instead of a prefix: it names the window, and never becomes a path.",
        ),
        Row(
            key="profiling of chosen stages",
            test="cluster/test_profiles.py::test_only_the_chosen_runs_are_captured",
            home="[GenAIProfile](genaiprofile.md) `runs`, `requests`",
            words="By stage, by number, by client, by request.",
        ),
        unsupported(
            "enable_profiling of session options",
            "it profiles a session from its beginning to its end, and a pod's never ends; "
            "[the recipe](recipes/session-or-runtime-profiling.md) tells both apart",
            _RECIPE,
        ),
    ),
)
