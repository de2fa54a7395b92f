"""The spec as the runtime server reads it: `GENAI_*` variables. Live options are never among them."""

import json

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.constants import (
    OPERATOR_COMMON_NAME,
    PATH_CONTROL_TLS,
    PATH_PROFILES,
    PATH_RUN,
    PORT_CONTROL,
    PORT_GRPC,
    PORT_METRICS,
)

# A starting pod waits this long for its runtime options: long enough for an operator that works, and short enough
# that pods start without one.
OPTIONS_WAIT_SECONDS = 5


def environment(model: GenAIModel) -> list[dict[str, str]]:
    """The container's `env`, sorted by name. What the spec leaves open is left to the runtime."""
    variables = {**_fixed(model), **_session(model), **_requests(model)}
    return [{"name": f"GENAI_{name}", "value": _literal(value)} for name, value in sorted(variables.items())]


def _fixed(model: GenAIModel) -> dict[str, str]:
    return {
        "MODEL_NAME": model.metadata.name,
        "HOST": "0.0.0.0",
        "GRPC_PORT": str(PORT_GRPC),
        "METRICS_PORT": str(PORT_METRICS),
        "CONTROL_PORT": str(PORT_CONTROL),
        "CONTROL_TLS_DIR": PATH_CONTROL_TLS,
        "CONTROL_CLIENT_NAME": OPERATOR_COMMON_NAME,
        "RUN_DIR": PATH_RUN,
        "PROFILE_DIR": PATH_PROFILES,
        "OPTIONS_WAIT_SECONDS": str(OPTIONS_WAIT_SECONDS),
    }


def _session(model: GenAIModel) -> dict[str, str]:
    spec = model.spec
    return {
        "DEVICE": spec.provider,
        "ENGINE": spec.engine.mode,
        "MAX_LENGTH": str(spec.engine.max_sequence_length),
        "THREADS": str(spec.threads.intra_op),
        "SPINNING": _boolean(spec.threads.spinning),
        **_given(
            GRAPH_OPTIMIZATION_LEVEL=spec.session.graph_optimization_level,
            MEMORY_ARENA=spec.session.memory_arena,
            MEMORY_PATTERN=spec.session.memory_pattern,
        ),
    }


def _requests(model: GenAIModel) -> dict[str, str]:
    generation, server, warmup = model.spec.generation, model.spec.server, model.spec.warmup
    variables = {
        "DEFAULT_MAX_TOKENS": str(generation.max_tokens),
        "LIMIT_MAX_TOKENS": str(generation.max_tokens_limit),
        "MAX_CONCURRENT_REQUESTS": str(server.max_concurrent_requests),
        "MAX_QUEUE_LENGTH": str(server.max_queue_length),
        "MAX_QUEUE_SECONDS": str(server.max_queue_seconds),
        "MAX_REQUEST_SECONDS": str(server.max_request_seconds),
        "DRAIN_SECONDS": str(server.drain_seconds),
        "WARMUP_MAX_TOKENS": str(warmup.max_tokens),
        **_given(
            TEMPERATURE=generation.temperature,
            TOP_K=generation.top_k,
            TOP_P=generation.top_p,
            REPETITION_PENALTY=generation.repetition_penalty,
        ),
    }
    if warmup.prompts is not None:
        variables["WARMUP_PROMPTS"] = json.dumps(list(warmup.prompts))
    return variables


def _given(**values: str | bool | float | None) -> dict[str, str]:
    return {
        name: _boolean(value) if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _literal(value: str) -> str:
    """Keeps the kubelet from expanding `$(NAME)` in a user's text."""
    return value.replace("$", "$$")
