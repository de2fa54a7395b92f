"""What a sweep found as one JSON object: for people, for the operator, and for the termination message of a Job.

Names are those of the GenAIModel's spec. `settings` holds what to change, and is empty where the present settings are
the best; numbers are rounded to what they mean.
"""

from typing import Any

from genai_runtime.tuning.choice import Gain
from genai_runtime.tuning.plan import AxisName, Candidate
from genai_runtime.tuning.sweep import Outcome, Task

_NAMES: dict[AxisName, str] = {
    "threads": "intraOpThreads",
    "spinning": "spinning",
    "prefill_chunk": "prefillChunk",
    "batch": "maxBatchSize",
}
_FAILURES = 3


def result(task: Task, outcome: Outcome) -> dict[str, Any]:
    """The object; under 3 KiB."""
    present = {name: _value(axis, outcome.present) for axis, name in _NAMES.items()}
    if not outcome.present.prefill_chunk:
        present["prefillChunk"] = outcome.info.prefill_chunk or "auto"
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
        "load": load,
        "engine": outcome.info.engine,
        "provider": outcome.info.provider,
        "measurements": outcome.measured,
        "seconds": round(outcome.seconds, 1),
        "notMeasured": [_NAMES[each] for each in outcome.unmeasured],
        "failed": outcome.failed[:_FAILURES],
    }


def _changes(best: Candidate, present: Candidate) -> dict[str, Any]:
    return {name: _value(axis, best) for axis, name in _NAMES.items() if getattr(best, axis) != getattr(present, axis)}


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


def _value(axis: AxisName, candidate: Candidate) -> Any:
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
