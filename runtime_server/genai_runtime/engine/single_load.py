"""Loads a model folder into GenAI for the engine `single`: our settings to its configuration, its errors to reasons."""

import json
from typing import Any

from genai_runtime.engine import genai_capi, providers
from genai_runtime.engine.genai_capi import Config, GenAIError, Model, UnsupportedRelease
from genai_runtime.engine.protocol import EngineSpec, ModelInfo
from genai_runtime.engine.session_options import session_entries, thread_cpus
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import InspectedModel, describe_model

_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_LOG_WARNINGS = 2


def load(spec: EngineSpec) -> tuple[Model, ModelInfo]:
    """Load what `spec` names. Raises `ModelUnusable`: ModelNotFound, ModelInvalid, ExecutionProviderUnavailable."""
    inspected = describe_model(spec.model_dir)
    try:
        genai_capi.library()
    except (UnsupportedRelease, OSError) as error:
        raise ModelUnusable("ExecutionProviderUnavailable", f"ONNX Runtime GenAI cannot be loaded: {error}") from None
    providers.prepare(spec.provider, spec.provider_options)
    try:
        with Config(spec.model_dir) as config:
            config.overlay(json.dumps(overlay(spec)))
            providers.append(config, spec.provider, spec.provider_options)
            model = Model(config)
        device = model.device_type
    except GenAIError as error:
        raise providers.unusable(spec.provider, spec.model_dir, error) from None
    try:
        providers.check_device(spec.provider, device)
    except ModelUnusable:
        model.close()
        raise
    return model, _info(spec, inspected)


def overlay(spec: EngineSpec) -> dict[str, Any]:
    """What we change in genai_config.json. Only typed keys: ONNX Runtime accepts unknown ones silently."""
    session: dict[str, Any] = {
        "intra_op_num_threads": spec.intra_op_threads,
        "log_severity_level": _LOG_WARNINGS,
        **session_entries(spec),
    }
    if spec.graph_optimization_level is not None:
        session["graph_optimization_level"] = _LEVELS[spec.graph_optimization_level]
    if spec.memory_arena is not None:
        session["enable_cpu_mem_arena"] = spec.memory_arena
    if spec.memory_pattern is not None:
        session["enable_mem_pattern"] = spec.memory_pattern
    # GenAI masks every pad token of a prompt, and crashes on a prompt of nothing else. Our sequences are never padded,
    # so no token is a pad: one in a prompt is a token like any other.
    return {"model": {"pad_token_id": -1, "decoder": {"session_options": session}}}


def _info(spec: EngineSpec, inspected: InspectedModel) -> ModelInfo:
    context = inspected.context_length
    return ModelInfo(
        architecture=inspected.architecture,
        context_length=context,
        vocabulary_size=inspected.vocabulary_size,
        max_sequence_length=min(spec.max_sequence_length or context, context),
        eos_token_ids=inspected.eos_token_ids,
        pad_token_id=inspected.pad_token_id,
        engine="single",
        engine_reason="",
        provider=spec.provider,
        intra_op_threads=spec.intra_op_threads,
        inter_op_threads=spec.inter_op_threads,
        spinning=spec.spinning,
        thread_cpus=list(thread_cpus(spec)),
        onnxruntime_version=genai_capi.onnxruntime_version(),
        onnxruntime_genai_version=genai_capi.genai_version(),
        unsupported_options=["arena-shrinkage"],  # GenAI reads run options with the model, and never again
        features=["stop_token_ids"],
        max_batch_size=spec.max_concurrent,
    )
