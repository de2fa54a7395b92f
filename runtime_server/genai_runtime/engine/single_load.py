"""Loads a model folder into GenAI for the engine `single`: our settings to its configuration, its errors to reasons."""

import json
from typing import Any

from genai_runtime.engine import genai_capi
from genai_runtime.engine.genai_capi import Config, GenAIError, Model, UnsupportedRelease
from genai_runtime.engine.protocol import EngineSpec, ModelInfo
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import InspectedModel, inspect_model

_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_LOG_WARNINGS = 2
_CUDA_LIBRARY = "libonnxruntime-genai-cuda.so"


def load(spec: EngineSpec) -> tuple[Model, ModelInfo]:
    """Load what `spec` names. Raises `ModelUnusable`: ModelNotFound, ModelInvalid, ExecutionProviderUnavailable."""
    inspected = inspect_model(spec.model_dir)
    try:
        genai_capi.library()
    except (UnsupportedRelease, OSError) as error:
        raise ModelUnusable("ExecutionProviderUnavailable", f"ONNX Runtime GenAI cannot be loaded: {error}") from None
    _check_provider(spec.provider)
    try:
        with Config(spec.model_dir) as config:
            config.overlay(json.dumps(overlay(spec)))
            config.clear_providers()
            if spec.provider != "cpu":
                config.append_provider(spec.provider)
            model = Model(config)
        device = model.device_type.lower()
    except GenAIError as error:
        raise _unusable(spec, str(error)) from None
    if device != spec.provider:
        model.close()
        raise _unavailable(f"{spec.provider} was asked for, but GenAI took {device}")
    return model, _info(spec, inspected)


def overlay(spec: EngineSpec) -> dict[str, Any]:
    """What we change in genai_config.json. Only typed keys: ONNX Runtime accepts unknown ones silently."""
    session: dict[str, Any] = {
        "intra_op_num_threads": spec.intra_op_threads,
        "log_severity_level": _LOG_WARNINGS,
        "session.intra_op.allow_spinning": "1" if spec.spinning else "0",
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


def _check_provider(provider: str) -> None:
    if provider == "cpu":
        return
    if provider != "cuda":
        raise _unavailable(f"the device {provider!r} is not known to this server; cpu and cuda are")
    if not (genai_capi.genai_folder() / _CUDA_LIBRARY).is_file():
        raise _unavailable("cuda was asked for, but this image holds the CPU build of ONNX Runtime GenAI")


def _unusable(spec: EngineSpec, message: str) -> ModelUnusable:
    if spec.provider != "cpu" and spec.provider in message.lower():
        return _unavailable(message)
    return ModelUnusable("ModelInvalid", f"ONNX Runtime GenAI cannot load {spec.model_dir}: {message}")


def _unavailable(why: str) -> ModelUnusable:
    remedy = "use an image with that provider on a node that has the device, or set the device to cpu"
    return ModelUnusable("ExecutionProviderUnavailable", f"{why}; {remedy}")


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
        onnxruntime_version=genai_capi.onnxruntime_version(),
        onnxruntime_genai_version=genai_capi.genai_version(),
        unsupported_options=["arena-shrinkage"],  # GenAI reads run options with the model, and never again
        features=["stop_token_ids"],
        max_batch_size=spec.max_concurrent,
    )
