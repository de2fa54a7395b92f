"""Pure: what is to be done about a model's tuning, and what `status.recommended` says of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.recommendation import has, known_recommendation, with_recommended
from genai_operator.api.tuning_spec import Tuning
from genai_operator.api.tuning_status import Recommended, TunedSettings
from genai_operator.status.conditions import bounded
from genai_operator.status.observed import ObservedModel, ObservedTuning, TuningState

FINAL = ("Complete", "Failed")


class Step(StrEnum):
    """What comes next."""

    NOTHING = "nothing"  # the status has the answer
    WAIT = "wait"  # no pods are wanted now
    MAKE = "make"  # there is no Job
    REMOVE = "remove"  # the Job is of another wish
    READ = "read"  # the Job is the one


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
    return found.model_copy(update={"applied": has(with_recommended(after), found.settings)})


def _found(tuning: Tuning, seen: ObservedTuning | None, known: Recommended | None, now: str) -> Recommended | None:
    """What is known after a pass; `known` is what it was, `seen` None: nothing was looked at."""
    if seen is None or seen.state is TuningState.ANSWERED:
        return known
    same = known is not None and known.revision == seen.revision
    before = known if same else None  # figures of another model, load or pod are of no use
    if seen.state is TuningState.COMPLETE:
        return _complete(seen, tuning.request, before, now)
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


def _complete(seen: ObservedTuning, request: str | None, before: Recommended | None, now: str) -> Recommended:
    try:
        return _read(seen.result).model_copy(
            update={
                "revision": seen.revision,
                "request": request,
                "started_at": before.started_at if before else None,
                "at": now,
            }
        )
    except (ValidationError, LookupError, TypeError, AttributeError):
        said = "the tuning Job ended without a result that can be read; is its image older than the operator?"
        return Recommended(state="Failed", message=said, revision=seen.revision, request=request)


def _read(result: Mapping[str, Any]) -> Recommended:
    """What `genai-runtime tune` printed. Raises LookupError, TypeError, AttributeError or ValidationError."""
    figure, load = result["figures"][0], result["load"]
    settings = TunedSettings.model_validate(result["settings"])
    return Recommended.model_validate(
        {
            "state": "Complete",
            "message": _told(settings, figure["gainPercent"], result.get("failed") or ()),
            "revision": "",
            "settings": settings,
            "load": {**load, "clients": load["clients"][0]},
            "notMeasured": result.get("notMeasured") or (),
            **{name: value for name, value in figure.items() if name != "clients"},
        }
    )


def _told(settings: TunedSettings, gain: float, failed: Any) -> str:
    if not settings.model_dump(exclude_none=True):
        said = "nothing that was tried is faster than the present settings"
    else:
        said = f"{gain:+.1f} % tokens per second"
    return bounded(f"{said}; could not run: {'; '.join(failed)}" if failed else said)
