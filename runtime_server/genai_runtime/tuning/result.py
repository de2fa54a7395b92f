"""What a sweep found as one JSON object: for people, for the operator, and for the termination message of a Job.

Names are those of the GenAIModel's spec. `settings` holds what to change, and is empty where the present settings are
the best; numbers are rounded to what they mean. With variants the termination message has a shorter object: the 12 KiB
that Kubernetes keeps are shared by a pod's containers, and each variant was built by one of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genai_runtime.tuning.choice import Gain
from genai_runtime.tuning.plan import Candidate
from genai_runtime.tuning.sweep import Outcome, Task
from genai_runtime.tuning.variants import Variant

_NAMES: dict[str, str] = {
    "threads": "intraOpThreads",
    "spinning": "spinning",
    "prefill_chunk": "prefillChunk",
    "batch": "maxBatchSize",
}
_VARIANT = "variant"
# Of a variant in the shorter object, where each is a row.
_COLUMNS = ("name", "sizeBytes", "perplexity", "increasePercent", "refused")
_FIGURES = ("tokensPerSecond", "gainPercent", "timeToFirstTokenMs")
_FAILURES = 3
_SHORT_FAILURE_LENGTH = 160
_FAILURE_LENGTH, _REASON_LENGTH = 200, 120


def result(
    task: Task, outcome: Outcome, variants: Sequence[Variant] = (), refused: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The object; under 3 KiB without variants.

    `variants` are all that were meant to be measured, the present one among them; `refused` says by name why one may
    not be recommended.
    """
    present = {name: _value(axis, outcome.present) for axis, name in _NAMES.items()}
    if not outcome.present.prefill_chunk:
        present["prefillChunk"] = outcome.info.prefill_chunk or "auto"
    if outcome.present.variant:
        present[_VARIANT] = outcome.present.variant
    load = {
        "clients": list(task.load.clients),
        "promptTokens": task.load.prompt_tokens,
        "newTokens": task.load.new_tokens,
    }
    return {
        "settings": _changes(outcome.best, outcome.present),
        "baseline": present,
        "figures": [_figure(each) for each in outcome.gains],
        **_nearest(outcome),
        **({"variants": [_variant(each, outcome, refused or {}) for each in variants]} if variants else {}),
        "load": load,
        "engine": outcome.info.engine,
        "provider": outcome.info.provider,
        "measurements": outcome.measured,
        "seconds": round(outcome.seconds, 1),
        "notMeasured": [_NAMES.get(each, each) for each in outcome.unmeasured],
        "failed": [each[:_FAILURE_LENGTH] for each in outcome.failed[:_FAILURES]],
    }


def brief(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the operator needs of a result with variants, for the first number of clients; under 1300 bytes."""
    rows = []
    for variant in found["variants"]:
        seen = variant.get("figures", [{}])[0]
        row = [variant.get(name) for name in _COLUMNS[:-1]]
        rows.append([*row, "refused" in variant, *(seen.get(name) for name in _FIGURES)])
    return {
        "settings": found["settings"],
        "figures": found["figures"][:1],
        "load": found["load"],
        "variants": {"columns": [*_COLUMNS, *_FIGURES], "rows": rows},
        "notMeasured": found["notMeasured"],
        "failed": [each[:_SHORT_FAILURE_LENGTH] for each in found["failed"][:1]],
    }


def _changes(best: Candidate, present: Candidate) -> dict[str, Any]:
    every: dict[str, str] = {**_NAMES, _VARIANT: _VARIANT}
    return {name: _value(axis, best) for axis, name in every.items() if getattr(best, axis) != getattr(present, axis)}


def _variant(variant: Variant, outcome: Outcome, refused: Mapping[str, str]) -> dict[str, Any]:
    """Its figures are with the best settings of the engine; without where it could not be measured."""
    found: dict[str, Any] = {"name": variant.name, "sizeBytes": variant.size_bytes}
    if variant.quality is not None:
        found["perplexity"] = round(variant.quality.perplexity, 4)
        found["increasePercent"] = round(variant.quality.increase_percent, 2)
    if variant.name in refused:
        found["refused"] = refused[variant.name][:_REASON_LENGTH]
    if figures := outcome.variants.get(variant.name):
        found["figures"] = [_seen(each) for each in figures]
    return found


def _seen(gain: Gain) -> dict[str, Any]:
    return {
        "clients": gain.clients,
        "tokensPerSecond": round(gain.best.tokens_per_second, 1),
        "gainPercent": round(gain.percent, 1),
        "timeToFirstTokenMs": round(gain.best.first_token_ms, 1),
    }


def _nearest(outcome: Outcome) -> dict[str, Any]:
    """Settings whose gain is within the margin, so that nobody has to take them for unseen."""
    if outcome.nearest is None:
        return {}
    candidate, found = outcome.nearest
    return {
        "nearest": {
            "settings": _changes(candidate, outcome.present),
            "gainPercent": [round(each.percent, 1) for each in found],
        }
    }


def _value(axis: str, candidate: Candidate) -> Any:
    value = getattr(candidate, axis)
    if axis == "spinning":
        return "enabled" if value else "disabled"
    return value


def _figure(gain: Gain) -> dict[str, Any]:
    return {
        "clients": gain.clients,
        "tokensPerSecond": round(gain.best.tokens_per_second, 1),
        "baselineTokensPerSecond": round(gain.present.tokens_per_second, 1),
        "gainPercent": round(gain.percent, 1),
        "timeToFirstTokenMs": round(gain.best.first_token_ms, 1),
        "baselineTimeToFirstTokenMs": round(gain.present.first_token_ms, 1),
    }
