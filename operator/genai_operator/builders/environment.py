"""The spec as the runtime server reads it: one JSON object in `GENAI_SETTINGS`. Live options are never in it.

One variable instead of one a setting: the API server keeps an entry of managed fields for each list element, and
applying a Deployment with 25 of them took a fifth longer.
"""

import json
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.pod_fields import Resources
from genai_operator.api.quantity import parse_quantity
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.builders.adapters import adapter_settings
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import (
    OPERATOR_COMMON_NAME,
    PATH_API_KEYS,
    PATH_CLIENT_CA,
    PATH_CONTROL_TLS,
    PATH_PROFILES,
    PATH_RUN,
    PATH_TLS,
    PORT_CONTROL,
    PORT_GRPC,
    PORT_HEALTH,
    PORT_HTTP,
    PORT_METRICS,
)

# A starting pod waits this long for its runtime options: long enough for an operator that works, and short enough
# that pods start without one.
OPTIONS_WAIT_SECONDS = 5

# YAML reads a bare `off` as false, so the spec has another word for it.
_SPECULATION = {"disabled": "off", "ngram": "ngram"}


def environment(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, str]]:
    """The container's `env`. What the spec leaves open is left to the runtime."""
    served = {**_fixed(model), **_ports(model), **adapter_settings(model, settings)}
    return _variables({**served, **_session(model), **_engine(model), **_requests(model)}, model)


def engine_environment(model: GenAIModel) -> list[dict[str, str]]:
    """What of it the engine is told, for whoever runs one without a server."""
    return _variables({**_session(model), **_engine(model)}, model)


def _variables(settings: dict[str, Any], model: GenAIModel) -> list[dict[str, str]]:
    text = json.dumps(dict(sorted(settings.items())), ensure_ascii=False)
    return [{"name": "GENAI_SETTINGS", "value": _literal(text)}, *user_environment(model)]


def user_environment(model: GenAIModel) -> list[dict[str, str]]:
    """The variables of `spec.env`, as every container that runs for the model has them."""
    return [{"name": each.name, "value": _literal(each.value)} for each in model.spec.env]


def _fixed(model: GenAIModel) -> dict[str, Any]:
    return {
        "model_name": model.metadata.name,
        "host": "0.0.0.0",
        "metrics_port": PORT_METRICS,
        "control_port": PORT_CONTROL,
        "control_tls_dir": PATH_CONTROL_TLS,
        "control_client_name": OPERATOR_COMMON_NAME,
        "run_dir": PATH_RUN,
        "profile_dir": PATH_PROFILES,
        "options_wait_seconds": OPTIONS_WAIT_SECONDS,
    }


def _ports(model: GenAIModel) -> dict[str, Any]:
    server = model.spec.server
    secured: dict[str, Any] = {}
    if server.tls is not None:
        # The kubelet's gRPC probes speak no TLS.
        secured = {"tls_dir": PATH_TLS, "health_port": PORT_HEALTH}
        if server.tls.client_ca_secret_name is not None:
            secured["client_ca_dir"] = PATH_CLIENT_CA
    if server.api_keys is not None:
        secured["api_keys_dir"] = PATH_API_KEYS
    return {"grpc_port": PORT_GRPC, "http_port": PORT_HTTP if server.protocols.http else 0, **secured}


def _session(model: GenAIModel) -> dict[str, Any]:
    spec = model.spec
    return {
        "device": spec.provider,
        **_provider(spec),
        "threads": spec.threads.intra_op,
        "spinning": spec.threads.spinning,
        **_given(
            inter_op_threads=spec.threads.inter_op,
            affinity=spec.threads.affinity,
            guaranteed_cpus=_guaranteed_cpus(spec.resources),
            graph_optimization_level=spec.session.graph_optimization_level,
            execution_mode=spec.session.execution_mode,
            memory_arena=spec.session.memory_arena,
            memory_pattern=spec.session.memory_pattern,
            session_entries=spec.session.config_entries or None,
        ),
    }


def _guaranteed_cpus(resources: Resources) -> int | None:
    """Whole CPUs of a pod of class Guaranteed, which a static CPU manager makes its own; None for any other pod."""
    for name in ("cpu", "memory"):
        limit = resources.limits.get(name)
        if limit is None or parse_quantity(resources.requests.get(name, limit)) != parse_quantity(limit):
            return None
    cpus = parse_quantity(resources.limits["cpu"])
    return int(cpus) if cpus and cpus == cpus.to_integral_value() else None


def _provider(spec: GenAIModelSpec) -> dict[str, Any]:
    options = spec.provider_options.settings() if spec.provider_options is not None else {}
    return _given(
        provider_fallback="allow" if spec.provider_fallback == "Allow" else None,
        provider_options=options or None,
        precision=spec.precision,
    )


def _engine(model: GenAIModel) -> dict[str, Any]:
    engine = model.spec.engine
    return {
        "engine": engine.mode,
        "max_length": engine.max_sequence_length,
        "max_concurrent_requests": engine.max_batch_size,
        **_given(
            custom_operators="allow" if model.spec.model.custom_operators == "Allow" else None,
            prefill_chunk=engine.prefill_chunk,
            kv_cache_bytes=engine.kv_cache_bytes() or None,
            prefix_cache_bytes=engine.prefix_cache_bytes(),
            speculation=None if engine.speculation is None else _SPECULATION[engine.speculation],
        ),
    }


def _requests(model: GenAIModel) -> dict[str, Any]:
    generation, server, warmup = model.spec.generation, model.spec.server, model.spec.warmup
    return {
        "default_max_tokens": generation.max_tokens,
        "limit_max_tokens": generation.max_tokens_limit,
        "limit_choices": generation.choices_limit,
        "max_queue_length": server.max_queue_length,
        "max_queue_seconds": server.max_queue_seconds,
        "max_request_seconds": server.max_request_seconds,
        "drain_seconds": server.drain_seconds,
        "warmup_max_tokens": warmup.max_tokens,
        **_given(
            limit_prompt_tokens=generation.prompt_tokens_limit,
            limit_guidance_bytes=generation.guidance_bytes_limit,
            temperature=generation.temperature,
            top_k=generation.top_k,
            top_p=generation.top_p,
            repetition_penalty=generation.repetition_penalty,
            warmup_prompts=None if warmup.prompts is None else list(warmup.prompts),
        ),
    }


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _literal(value: str) -> str:
    """Keeps the kubelet from expanding `$(NAME)` in a user's text."""
    return value.replace("$", "$$")
