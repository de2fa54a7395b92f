"""Pure: what `kubectl genai tune` asks for, what the model's status answers, and what is put into the spec."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]

FIGURE_HEADER = ("", "PRESENT", "RECOMMENDED", "CHANGE")
SETTINGS_HEADER = ("SETTING", "PRESENT", "RECOMMENDED")
VARIANT_HEADER = ("BUILD", "TOKENS/S", "CHANGE", "SIZE", "PERPLEXITY", "OVER FP32", "REFUSED")
# Of status.recommended.settings: where the spec has it.
_PLACES = {
    "intraOpThreads": ("threads", "intraOp"),
    "spinning": ("threads", "spinning"),
    "prefillChunk": ("engine", "prefillChunk"),
    "maxBatchSize": ("engine", "maxBatchSize"),
    "precision": ("precision",),
    "int4BlockSize": ("model", "build", "int4BlockSize"),
    "int4AccuracyLevel": ("model", "build", "int4AccuracyLevel"),
}
# What a spec means that leaves them out.
_OF_INT4 = {"int4BlockSize": 32, "int4AccuracyLevel": 4}


@dataclass(frozen=True, slots=True)
class Load:
    """What to measure; what is None is left as the model has it."""

    clients: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    max_seconds: int | None = None

    @property
    def stated(self) -> bool:
        """Whether anything is asked for."""
        return any(each is not None for each in (self.clients, self.prompt_tokens, self.new_tokens, self.max_seconds))


def tuning_patch(load: Load, request: str) -> dict[str, Any]:
    """A merge patch of the model that has it measured."""
    stated = {"clients": load.clients, "promptTokens": load.prompt_tokens, "newTokens": load.new_tokens}
    tuning: dict[str, Any] = {"request": request}
    if given := {name: value for name, value in stated.items() if value is not None}:
        tuning["load"] = given
    if load.max_seconds is not None:
        tuning["maxSeconds"] = load.max_seconds
    return {"spec": {"tuning": tuning}}


def recommendation(model: Object) -> dict[str, Any]:
    """`status.recommended`; empty while the operator has not looked at the model's present spec."""
    status = model.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(model["metadata"].get("generation") or 0):
        return {}
    return dict(status.get("recommended") or {})


def complete(model: Object) -> bool:
    """Whether the present spec was measured, and nothing goes on."""
    return recommendation(model).get("state") == "Complete"


def ended(model: Object, request: str) -> bool:
    """Whether the measurement of this request is over, well or not."""
    found = recommendation(model)
    return found.get("request") == request and found.get("state") in ("Complete", "Failed")


def share(model: Object, now: datetime) -> float:
    """How much of its time has passed, 0 to 1; the end of the measurement may come before or after 1."""
    found = recommendation(model)
    most = ((model.get("spec") or {}).get("tuning") or {}).get("maxSeconds") or 0
    try:
        began = datetime.fromisoformat(str(found.get("startedAt")))
    except ValueError:
        return 0.0
    return min(1.0, max(0.0, (now - began).total_seconds() / most)) if most else 0.0


def settings_patch(model: Object) -> dict[str, Any]:
    """A merge patch that writes the recommended settings into the spec; empty when it has them, or there are none.

    What the spec says of int4 is taken out with it: the API server refuses it beside another precision.
    """
    spec: dict[str, Any] = {}
    found = recommendation(model).get("settings") or {}
    for name, value in found.items():
        if name in _PLACES and _present(model, name) != value:
            _put(spec, _PLACES[name], value)
    if found.get("precision") not in (None, "int4"):
        for name in _OF_INT4:
            if _written(model, name) is not None:
                _put(spec, _PLACES[name], None)
    return {"spec": spec} if spec else {}


def settings_rows(model: Object) -> list[tuple[str, str, str]]:
    """One a setting that should be another."""
    found = recommendation(model).get("settings") or {}
    return [
        (".".join(_PLACES[name]), str("auto" if (present := _present(model, name)) is None else present), str(value))
        for name, value in found.items()
        if name in _PLACES
    ]


def variant_rows(found: Object) -> list[tuple[str, ...]]:
    """One a build of the model that was tried, the present one first."""
    rows = list[tuple[str, ...]]()
    for variant in found.get("variants") or ():
        size, lost = variant.get("sizeBytes"), variant.get("increasePercent")
        gain = variant.get("gainPercent")
        rows.append(
            (
                _variant_name(variant),
                _number(variant.get("tokensPerSecond")),
                "-" if gain is None else f"{gain:+.1f} %",
                "-" if size is None else f"{size / 2**20:.0f} MiB",
                "-" if variant.get("perplexity") is None else f"{variant['perplexity']:.3f}",
                "-" if lost is None else f"{lost:+.2f} %",
                str(variant.get("refused") or ""),
            )
        )
    return rows


def figure_rows(found: Object) -> list[tuple[str, str, str, str]]:
    """Tokens per second, and the time to the first token."""
    rows = (
        ("tokens/s", "baselineTokensPerSecond", "tokensPerSecond"),
        ("first token, ms", "baselineTimeToFirstTokenMs", "timeToFirstTokenMs"),
    )
    return [
        (label, _number(found.get(before)), _number(found.get(after)), _change(found.get(before), found.get(after)))
        for label, before, after in rows
    ]


def load_text(found: Object) -> str:
    """For example "8 clients, prompts of 64 tokens, answers of 64"."""
    load = found.get("load") or {}
    if not load:
        return ""
    clients = load.get("clients")
    many = "1 client" if clients == 1 else f"{clients} clients"
    return f"{many}, prompts of {load.get('promptTokens')} tokens, answers of {load.get('newTokens')}"


def _variant_name(variant: Object) -> str:
    if variant.get("precision") != "int4":
        return str(variant.get("precision"))
    return f"int4, blocks of {variant.get('int4BlockSize')}, level {variant.get('int4AccuracyLevel')}"


def _present(model: Object, name: str) -> Any:
    """What the spec says or means."""
    written = _written(model, name)
    is_int4 = name in _OF_INT4 and _written(model, "precision") == "int4"
    return _OF_INT4[name] if written is None and is_int4 else written


def _written(model: Object, name: str) -> Any:
    found: Any = model.get("spec")
    for part in _PLACES[name]:
        found = (found or {}).get(part)
    return found


def _put(spec: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    *parts, last = place
    for part in parts:
        spec = spec.setdefault(part, {})
    spec[last] = value


def _number(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "-"


def _change(before: Any, after: Any) -> str:
    if not isinstance(before, int | float) or not isinstance(after, int | float) or not before:
        return "-"
    return f"{(after / before - 1) * 100:+.1f} %"
