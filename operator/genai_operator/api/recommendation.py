"""What `spec.tuning` asks to be measured, and what its answer means for a model. Pure; the spec itself stays.

Level-triggered: what is rendered follows from the spec and `status.recommended` alone, so a recommendation for another
model, load or pod (another `revision`) is not used, and taking `apply: Automatic` away takes the settings back.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.tuning_status import Recommended, TunedSettings
from genai_operator.api.variants import present_variant

_OPEN = "auto"
# What the result depends on, by the spec's names; and of these, what is swept or only says how a model is fetched.
_MEASURED = (
    *("model", "image", "provider", "providerOptions", "providerFallback", "precision", "threads", "session"),
    *("engine", "resources", "nodeSelector", "affinity", "runtimeClassName", "env"),
)
_BESIDES = {
    "threads": ("intraOp", "spinning"),
    "engine": ("maxBatchSize", "prefillChunk"),
    "model": ("secretName", "endpoint", "region", "cache", "maxBytes", "offline"),
}
# Of model.build: how it is built, and what its quality is measured on. What it is tells the engine apart.
_BESIDES_OF_BUILD = ("resources", "request", "evaluation")
_SWEPT_OF_BUILD = ("int4BlockSize", "int4AccuracyLevel")


def tuning_revision(model: GenAIModel) -> str:
    """Names what a measurement is of: equal where the same would be measured; empty without `spec.tuning`.

    Fields at their defaults do not count, so that an operator that knows more fields measures nothing anew.
    """
    tuning = model.spec.tuning
    if tuning is None:
        return ""
    spec = model.spec.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    parts = {name: spec[name] for name in _MEASURED if name in spec}
    for name, besides in _BESIDES.items():
        parts[name] = {field: value for field, value in parts.get(name, {}).items() if field not in besides}
    _leave_out_build(parts, swept=tuning.sweep is not None and tuning.sweep.variants)
    parts["tuning"] = tuning.model_dump(by_alias=True, mode="json", exclude={"apply", "request"}, exclude_defaults=True)
    return _digest(parts)


def _leave_out_build(parts: dict[str, Any], *, swept: bool) -> None:
    """Takes out what does not count of a model that is built; `swept`: other builds of it are tried."""
    build = parts["model"].get("build")
    if build is None:
        return
    besides = ("resources", "request", *_SWEPT_OF_BUILD) if swept else _BESIDES_OF_BUILD
    parts["model"]["build"] = {field: value for field, value in build.items() if field not in besides}
    if swept:
        parts.pop("precision", None)


def tuning_wish(model: GenAIModel) -> str:
    """Names one measurement: the revision, and the request for it."""
    tuning = model.spec.tuning
    return _digest([tuning_revision(model), tuning.request if tuning else None])


def known_recommendation(status: Mapping[str, Any]) -> Recommended | None:
    """What the status in the cluster says; None when there is nothing, or another version wrote it."""
    found = status.get("recommended")
    try:
        return Recommended.model_validate(found) if found else None
    except ValidationError:
        return None


def with_recommended(model: GenAIModel) -> GenAIModel:
    """The model to render."""
    tuning = model.spec.tuning
    if tuning is None or tuning.apply != "Automatic":
        return model
    known = known_recommendation(model.status)
    if known is None or known.settings is None or known.revision != tuning_revision(model):
        return model
    return _filled(model, known.settings)


def _filled(model: GenAIModel, settings: TunedSettings) -> GenAIModel:
    """The model with these settings where its spec says `auto` or nothing; maxBatchSize always says something.

    Precision stays: with another one it would be another model, with other answers, which nobody asked for.
    """
    spec = model.spec
    threads: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    if spec.threads.intra_op == _OPEN and settings.intra_op_threads:
        threads["intra_op"] = settings.intra_op_threads
    if spec.threads.spinning == _OPEN and settings.spinning:
        threads["spinning"] = settings.spinning
    if spec.engine.prefill_chunk is None and spec.engine.mode != "single" and settings.prefill_chunk:
        engine["prefill_chunk"] = settings.prefill_chunk
    if not threads and not engine:
        return model
    changed = spec.model_copy(
        update={
            "threads": spec.threads.model_copy(update=threads),
            "engine": spec.engine.model_copy(update=engine),
        }
    )
    return model.model_copy(update={"spec": changed})


def has(model: GenAIModel, settings: TunedSettings) -> bool:
    """Whether the model has all of these settings."""
    threads, engine, variant = model.spec.threads, model.spec.engine, present_variant(model.spec)
    pairs = (
        (settings.intra_op_threads, threads.intra_op),
        (settings.spinning, threads.spinning),
        (settings.prefill_chunk, engine.prefill_chunk),
        (settings.max_batch_size, engine.max_batch_size),
        (settings.precision, variant.precision if variant else None),
        (settings.int4_block_size, variant.int4_block_size if variant else None),
        (settings.int4_accuracy_level, variant.int4_accuracy_level if variant else None),
    )
    return all(wanted is None or wanted == present for wanted, present in pairs)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
