"""Pure: what is to be done about a model's build, what `status.build` says of it, and the condition ModelBuilt."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from genai_operator.api.build_status import BuildQuality, BuildStatus
from genai_operator.api.built import as_built, build_revision, known_build
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.status.conditions import Verdict, bounded
from genai_operator.status.job_step import Step
from genai_operator.status.observed import BuildState, FetchProgress, ObservedBuild, ObservedModel
from genai_operator.status.reasons import Reason

_FINAL = ("Complete", "Failed")
# Nobody has to do anything.
_WELL = (Reason.BUILT, Reason.BUILDING, Reason.SUSPENDED, Reason.PENDING)
_UNREADABLE = "the build Job ended without a result that can be read; is its image older than the operator?"


def next_step(model: GenAIModel, wish: str, job: str | None) -> Step:
    """`job`: the wish that the present Job was made for, None without one."""
    build = model.spec.model.build
    if build is None:
        return Step.NOTHING if job is None else Step.REMOVE
    if job not in (None, wish):
        return Step.REMOVE
    if is_answered(model):
        return Step.NOTHING
    if model.spec.suspend:
        return Step.WAIT if job is None else Step.REMOVE
    return Step.MAKE if job is None else Step.READ


def is_answered(model: GenAIModel) -> bool:
    """Whether the status says what became of this very wish, or pods are told of its result already."""
    build, known = model.spec.model.build, known_build(model.status)
    if build is None or known is None:
        return build is None
    wanted = (build_revision(model), build.request)
    served = known.served is not None and (known.served.revision, known.served.request) == wanted
    ended = known.state in _FINAL and (known.revision, known.request) == wanted
    return ended or (served and known.digest is not None)


def build_status(model: GenAIModel, observed: ObservedModel) -> BuildStatus | None:
    """`status.build`."""
    known, seen = known_build(model.status), observed.build
    if model.spec.model.build is None:
        return None
    if seen is None:
        return known
    if seen.state is BuildState.ANSWERED:
        return _answered(model, known)
    if seen.state is BuildState.COMPLETE:
        return _complete(model, seen, known, observed.now)
    return _now(model, seen, known, observed.now)


def _answered(model: GenAIModel, known: BuildStatus | None) -> BuildStatus | None:
    """As it is; or of the build that pods serve, where the spec asks for that one again."""
    build = model.spec.model.build
    wanted = (build_revision(model), build.request if build else None)
    ended = known is not None and known.state in _FINAL and (known.revision, known.request) == wanted
    if known is None or known.served is None or ended:
        return known
    return known.model_copy(
        update={
            "state": "Complete",
            "reason": Reason.BUILT.value,
            "message": _told(model, known.quality),
            "revision": known.served.revision,
            "request": known.served.request,
            **dict.fromkeys(("step", "percent", "pod")),
        }
    )


def _now(model: GenAIModel, seen: ObservedBuild, known: BuildStatus | None, now: str) -> BuildStatus:
    """A build that goes on, waits or failed; what was built before stays beside it."""
    request = model.spec.model.build.request if model.spec.model.build else None
    same = known is not None and (known.revision, known.request) == (seen.revision, request)
    started = known.started_at if known and same else None
    failed = seen.state is BuildState.FAILED
    fresh = BuildStatus(state=seen.state.value, reason=seen.reason, revision=seen.revision)
    return (known or fresh).model_copy(
        update={
            "state": seen.state.value,
            "reason": seen.reason,
            "message": bounded(seen.message),
            "revision": seen.revision,
            "request": request,
            "step": seen.progress.state if seen.progress else None,
            "percent": _percent(seen.progress) if seen.progress else None,
            "pod": seen.pod or None,
            "started_at": started or (None if seen.state is BuildState.PENDING else now),
            "at": now if failed else (known.at if known else None),
        }
    )


def _percent(progress: FetchProgress) -> int | None:
    if progress.percent:
        return progress.percent
    if progress.total_bytes <= 0:
        return None
    return min(100, int(100 * progress.fetched_bytes / progress.total_bytes))


def _complete(model: GenAIModel, seen: ObservedBuild, known: BuildStatus | None, now: str) -> BuildStatus:
    try:
        quality = _quality(seen.result.get("quality") or {})
        return BuildStatus.model_validate(
            {
                "state": "Complete",
                "reason": Reason.BUILT.value,
                "message": _told(model, quality),
                "revision": seen.revision,
                "request": model.spec.model.build.request if model.spec.model.build else None,
                "pod": seen.pod or None,
                "digest": str(seen.result["digest"]),
                "sizeBytes": seen.result.get("bytes"),
                "files": seen.result.get("files"),
                "cached": seen.result.get("cached"),
                "builder": seen.result.get("builder"),
                "seconds": seen.result.get("seconds"),
                "quality": quality,
                "served": as_built(model),
                "startedAt": known.started_at if known and known.revision == seen.revision else None,
                "at": now,
            }
        )
    except (ValidationError, LookupError, TypeError, AttributeError):
        failed = ObservedBuild(seen.revision, BuildState.FAILED, Reason.BUILD_FAILED.value, _UNREADABLE, seen.pod)
        return _now(model, failed, known, now)


def _quality(said: Mapping[str, Any]) -> BuildQuality | None:
    """As the builder printed it, with how much is lost. Raises ValidationError."""
    if not said:
        return None
    names = ("perplexity", "referencePerplexity", "tokens", "text", "notMeasured")
    found = BuildQuality.model_validate({name: said[name] for name in names if said.get(name) is not None})
    if found.perplexity is None or not found.reference_perplexity:
        return found
    more = 100 * (found.perplexity / found.reference_perplexity - 1)
    return found.model_copy(update={"increase_percent": round(max(more, -100.0), 2)})


def _told(model: GenAIModel, quality: BuildQuality | None) -> str:
    said = f"{model.spec.precision} for {model.spec.provider} is built"
    if quality is None or quality.increase_percent is None:
        return bounded(f"{said}; quality not measured: {quality.not_measured}") if quality else said
    return f"{said}; perplexity {quality.perplexity:.4g}, {quality.increase_percent:+.2f} % to the source in fp32"


def build_verdict(model: GenAIModel, build: BuildStatus | None) -> Verdict | None:
    """The condition ModelBuilt; None where nothing is to be built."""
    if model.spec.model.build is None:
        return None
    if build is None:
        return Verdict("False", Reason.PENDING, "the build Job is being made")
    reason = Reason(build.reason) if build.reason in set(Reason) else Reason.BUILD_FAILED
    return Verdict("True" if reason is Reason.BUILT else "False", reason, build.message)


def in_the_way(verdict: Verdict | None) -> Verdict | None:
    """The verdict, if somebody has to put something right before the model is built."""
    return None if verdict is None or verdict.reason in _WELL else verdict
