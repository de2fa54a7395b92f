"""Pure: what is to be done about a model's tuning, and what `status.recommended` says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from genai_operator.api.built import is_current
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.recommendation import has, known_recommendation, with_recommended
from genai_operator.api.tuning_spec import Tuning
from genai_operator.api.tuning_status import Recommended, TunedSettings, TunedVariant
from genai_operator.api.variants import variant_named
from genai_operator.status.conditions import bounded
from genai_operator.status.job_step import Step
from genai_operator.status.observed import ObservedModel, ObservedTuning, TuningState

FINAL = ("Complete", "Failed")
# What a variant of the model is called in what `genai-runtime tune` leaves.
_VARIANT = "variant"


def next_step(model: GenAIModel, wish: str, known: Recommended | None, revision: str, job: str | None) -> Step:
    """`job`: the wish that the present Job was made for, None without one."""
    tuning = model.spec.tuning
    if tuning is None:
        return Step.NOTHING if job is None else Step.REMOVE
    if known and (known.revision, known.request) == (revision, tuning.request) and known.state in FINAL:
        return Step.NOTHING
    if model.spec.suspend:
        return Step.WAIT if job is None else Step.REMOVE
    if job is None:
        return Step.MAKE
    return Step.READ if job == wish else Step.REMOVE


def recommended(model: GenAIModel, observed: ObservedModel) -> Recommended | None:
    """`status.recommended`."""
    if model.spec.tuning is None:
        return None
    found = _found(model.spec.tuning, observed.tuning, known_recommendation(model.status), observed.now)
    if found is None or found.settings is None:
        return found
    after = model.model_copy(update={"status": {"recommended": found.model_dump(by_alias=True, exclude_none=True)}})
    applied = has(with_recommended(after), found.settings) and is_current(model)
    return found.model_copy(update={"applied": applied})


def _found(tuning: Tuning, seen: ObservedTuning | None, known: Recommended | None, now: str) -> Recommended | None:
    """What is known after a pass; `known` is what it was, `seen` None: nothing was looked at."""
    if seen is None or seen.state is TuningState.ANSWERED:
        return known
    same = known is not None and known.revision == seen.revision
    before = known if same else None  # figures of another model, load or pod are of no use
    if seen.state is TuningState.COMPLETE:
        return _complete(seen, tuning, before, now)
    going_on = before is not None and (before.state, before.request) == (seen.state.value, tuning.request)
    started = before.started_at if before and going_on else None
    fresh = Recommended(state=seen.state.value, revision=seen.revision)
    return (before or fresh).model_copy(
        update={
            "state": seen.state.value,
            "message": bounded(seen.message),
            "request": tuning.request,
            "started_at": started or (now if seen.state is TuningState.RUNNING else None),
        }
    )


def _complete(seen: ObservedTuning, tuning: Tuning, before: Recommended | None, now: str) -> Recommended:
    try:
        return _read(seen.result, tuning).model_copy(
            update={
                "revision": seen.revision,
                "request": tuning.request,
                "started_at": before.started_at if before else None,
                "at": now,
            }
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        said = "the tuning Job ended without a result that can be read; is its image older than the operator?"
        return Recommended(state="Failed", message=said, revision=seen.revision, request=tuning.request)


def _read(result: Mapping[str, Any], tuning: Tuning) -> Recommended:
    """What `genai-runtime tune` left. Raises LookupError, TypeError, AttributeError or ValueError."""
    figure, load = result["figures"][0], result["load"]
    given = dict(result["settings"])
    name = given.pop(_VARIANT, None)
    settings = TunedSettings.model_validate({**given, **_values(name)})
    table = result.get("variants") or {"columns": (), "rows": ()}
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return Recommended.model_validate(
        {
            "state": "Complete",
            "message": _told(settings, figure["gainPercent"], _chosen(rows, name), result.get("failed") or ()),
            "variants": [_variant(row, tuning) for row in rows] or None,
            "revision": "",
            "settings": settings,
            "load": {**load, "clients": load["clients"][0]},
            "notMeasured": ["precision" if each == _VARIANT else each for each in result.get("notMeasured") or ()],
            **{name: value for name, value in figure.items() if name != "clients"},
        }
    )


def _values(name: str | None) -> dict[str, Any]:
    """The spec's fields of a variant; empty without one."""
    if name is None:
        return {}
    variant = variant_named(name)
    return {
        "precision": variant.precision,
        "int4BlockSize": variant.int4_block_size,
        "int4AccuracyLevel": variant.int4_accuracy_level,
    }


def _variant(row: Mapping[str, Any], tuning: Tuning) -> TunedVariant:
    found = {name: value for name, value in row.items() if name not in ("name", "refused")}
    return TunedVariant.model_validate(
        {**_values(row["name"]), **found, "refused": _refused(found, tuning) if row["refused"] else None}
    )


def _refused(found: Mapping[str, Any], tuning: Tuning) -> str:
    """Why, from the figures alone: a pod's last words are too short for it."""
    lost = found.get("increasePercent")
    if lost is None:
        return "what it lost is not known: its perplexity was not measured"
    most = tuning.sweep.max_increase_percent if tuning.sweep else 0
    return f"its perplexity is {lost:g} % above fp32's; {most:g} % is permitted"


def _chosen(rows: Sequence[Mapping[str, Any]], name: str | None) -> str:
    """What the recommended build costs; empty where it is the present one."""
    return next(
        (f"with {name}, perplexity {row['increasePercent']:+g} % to fp32's" for row in rows if row["name"] == name),
        "",
    )


def _told(settings: TunedSettings, gain: float, chosen: str, failed: Any) -> str:
    if not settings.model_dump(exclude_none=True):
        said = "nothing that was tried is faster than the present settings"
    else:
        said = "; ".join(filter(None, (f"{gain:+.1f} % tokens per second", chosen)))
    return bounded(f"{said}; could not run: {'; '.join(failed)}" if failed else said)
