"""An engine with its model: whether the model is what was said of it, and what happens where the provider is missing.

Which engine is taken is `worker.py`'s, how a model is loaded the engine's own.
"""

import dataclasses
from collections.abc import Callable

import structlog

from genai_runtime.engine.protocol import Engine, EngineSpec, ModelInfo
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import describe_model
from genai_runtime.models.precision import check_precision, model_precision

MakeEngine = Callable[[str, EngineSpec], tuple[Engine, str]]

_FAKE = "fake"  # an engine without a model
_UNAVAILABLE = "ExecutionProviderUnavailable"
_log = structlog.get_logger("genai_runtime.engine")


def load(make: MakeEngine, name: str, spec: EngineSpec) -> tuple[Engine, ModelInfo]:
    """The engine `name` with its model. Raises `ModelUnusable`, `EngineFailure`.

    A provider that is missing is an error, unless `spec.provider_fallback`: then the CPU serves, and `ModelInfo` says
    that and why.
    """
    precision = _precision(name, spec)
    try:
        return _loaded(make, name, spec, precision=precision)
    except ModelUnusable as error:
        if error.reason != _UNAVAILABLE or spec.provider == "cpu" or not spec.provider_fallback:
            raise
        why = error.message
    _log.warning("the provider is not available; the CPU is used", provider=spec.provider, reason=why)
    on_cpu = dataclasses.replace(spec, provider="cpu", provider_options={})
    return _loaded(make, name, on_cpu, precision=precision, provider_reason=why)


def _loaded(make: MakeEngine, name: str, spec: EngineSpec, **known: str) -> tuple[Engine, ModelInfo]:
    engine, reason = make(name, spec)
    info = engine.load(spec)
    return engine, dataclasses.replace(info, engine_reason=reason, **known)  # type: ignore[arg-type]  # names of texts


def _precision(name: str, spec: EngineSpec) -> str:
    if name == _FAKE:
        return ""
    found = model_precision(describe_model(spec.model_dir))
    check_precision(spec.precision, found, spec.model_dir)
    return found
