"""Live options: parsing every source and merging them key by key. Which pods need them is `status.live_plan`'s work.

The later source wins: `spec.runtimeOptions` < `status.requestedRuntimeOptions` < annotations; `spec.flightRecorder` and
`spec.adapters` have no other source. A bad value never raises and never wins: it makes a `Rejected`, and while there is
one, nothing is pushed to any pod.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from genai_operator.api.adapter_spec import Adapter
from genai_operator.api.cancel_rule import CancelRule, check_cancel, parse_cancel
from genai_operator.api.flight_recorder_spec import FlightRecorder
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.options_spec import (
    ProfilingLimits,
    check_drain,
    check_enable_profiling,
    check_log_level,
    check_switch,
    parse_drain,
)
from genai_operator.constants import (
    ANNOTATION_ARENA_SHRINKAGE,
    ANNOTATION_CANCEL,
    ANNOTATION_DRAIN,
    ANNOTATION_ENABLE_PROFILING,
    ANNOTATION_LOG_LEVEL,
    ANNOTATION_TERMINATE_SESSION,
)

# The label of a window that was asked for with "1".
DEFAULT_LABEL = "profile"
SHOWN_VALUE_LENGTH = 40

ENABLE_PROFILING = "enable-profiling"
TERMINATE_SESSION = "terminate-session"
LOG_LEVEL = "log-level"
ARENA_SHRINKAGE = "arena-shrinkage"
DRAIN = "drain"
CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an option is written: its annotation, its field of spec and status, and what its values are."""

    annotation: str
    attribute: str  # of RuntimeOptionsSpec
    field: str  # of status.requestedRuntimeOptions
    check: Callable[[str], str]


_OPTIONS = {
    ENABLE_PROFILING: _Source(
        ANNOTATION_ENABLE_PROFILING, "enable_profiling", "enableProfiling", check_enable_profiling
    ),
    TERMINATE_SESSION: _Source(ANNOTATION_TERMINATE_SESSION, "terminate_session", "terminateSession", check_switch),
    LOG_LEVEL: _Source(ANNOTATION_LOG_LEVEL, "log_level", "logLevel", check_log_level),
    ARENA_SHRINKAGE: _Source(ANNOTATION_ARENA_SHRINKAGE, "arena_shrinkage", "arenaShrinkage", check_switch),
    DRAIN: _Source(ANNOTATION_DRAIN, "drain", "drain", check_drain),
    CANCEL: _Source(ANNOTATION_CANCEL, "cancel", "cancel", check_cancel),
}


@dataclass(frozen=True, slots=True)
class Profiling:
    """A wanted profiling window. A cap of 0 is the runtime's default."""

    label: str
    max_runs: int = 0
    max_bytes: int = 0
    max_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Recorder:
    """Objectives whose miss opens a window. 0 seconds is no objective."""

    inter_token_p99_seconds: float
    first_token_p99_seconds: float
    for_seconds: float
    max_per_hour: int


@dataclass(frozen=True, slots=True)
class FetchedAdapter:
    """A LoRA adapter that pods fetch. What is empty, or 0, is left open."""

    name: str
    uri: str
    path: str
    sha256: str
    endpoint: str
    region: str
    secret_name: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """The merged desired state of every pod of one model. The defaults are what a pod has that was told nothing."""

    terminate_session: bool = False
    profiling: Profiling | None = None
    log_level: str = ""  # as the pod was started
    arena_shrinkage: bool = False
    drain_seconds: int = 0  # no drain
    cancel: CancelRule | None = None
    flight_recorder: Recorder | None = None
    adapters: tuple[tuple[str, str], ...] = ()  # name and path in the model's folder, by name
    fetched_adapters: tuple[FetchedAdapter, ...] = ()  # by name


@dataclass(frozen=True, slots=True)
class Rejected:
    """A value that no option has. `value` is shortened and printable."""

    source: str
    key: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f'{self.source}: "{self.value}" {self.reason}'


@dataclass(frozen=True, slots=True)
class DesiredOptions:
    """What pods shall have. With `rejected` not empty, pods stay as they are."""

    options: RuntimeOptions
    revision: str
    rejected: tuple[Rejected, ...] = ()


# What came later is part of the name only where it is asked for: else a new version of the operator would send every
# option to every pod again.
_ALWAYS_HASHED = ("terminate_session", "profiling")


def revision(options: RuntimeOptions) -> str:
    """A short name of the options: equal options have equal revisions, in every version of the operator."""
    defaults = {field.name: field.default for field in fields(options)}
    said = {name: value for name, value in asdict(options).items() if name in _ALWAYS_HASHED or value != defaults[name]}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def desired_options(model: GenAIModel) -> DesiredOptions:
    """Merge all sources of one model."""
    values: dict[str, str] = {}
    rejected: list[Rejected] = []
    for source, found in _sources(model):
        for key, value in found.items():
            try:
                values[key] = _checked(key, value)
            except ValueError as error:
                rejected.append(Rejected(source.format(key=key), key, shown(value), str(error)))
    options = RuntimeOptions(
        terminate_session=values.get(TERMINATE_SESSION) == "1",
        profiling=_profiling(values.get(ENABLE_PROFILING, "0"), model.spec.runtime_options.profiling_limits),
        log_level=values.get(LOG_LEVEL, ""),
        arena_shrinkage=values.get(ARENA_SHRINKAGE) == "1",
        drain_seconds=parse_drain(values.get(DRAIN, "0")),
        cancel=parse_cancel(values.get(CANCEL, "0")),
        flight_recorder=_recorder(model.spec.flight_recorder),
        adapters=tuple(sorted((each.name, each.path or "") for each in model.spec.adapters if each.uri is None)),
        fetched_adapters=_fetched(model.spec.adapters),
    )
    return DesiredOptions(options, revision(options), tuple(rejected))


def shown(value: object) -> str:
    """A user's value for a message: printable ASCII, at most `SHOWN_VALUE_LENGTH` characters, dots where it was cut."""
    text = str(value)[: SHOWN_VALUE_LENGTH + 1]
    safe = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return safe if len(safe) <= SHOWN_VALUE_LENGTH else safe[: SHOWN_VALUE_LENGTH - 3] + "..."


def _checked(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")  # noqa: TRY004 - reported like any other bad value
    return _OPTIONS[key].check(value)


def _sources(model: GenAIModel) -> list[tuple[str, Mapping[str, Any]]]:
    """(how messages name the source, option -> value), the weakest first."""
    declared = model.spec.runtime_options
    in_spec = {key: getattr(declared, option.attribute) for key, option in _OPTIONS.items()}
    requested = model.status.get("requestedRuntimeOptions")
    requested = requested if isinstance(requested, Mapping) else {}
    asked = {key: requested.get(option.field) for key, option in _OPTIONS.items()}
    annotations = model.metadata.annotations
    written = {key: annotations.get(option.annotation) for key, option in _OPTIONS.items()}
    return [
        ("spec.runtimeOptions", _said(in_spec)),
        ("status.requestedRuntimeOptions, {key}", _said(asked)),
        ("annotation genai-operator.io/{key}", _said(written)),
    ]


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _profiling(wanted: str, limits: ProfilingLimits) -> Profiling | None:
    if wanted == "0":
        return None
    return Profiling(
        label=DEFAULT_LABEL if wanted == "1" else wanted,
        max_runs=limits.max_runs or 0,
        max_bytes=limits.max_bytes_value(),
        max_seconds=limits.max_seconds or 0,
    )


def _fetched(adapters: Iterable[Adapter]) -> tuple[FetchedAdapter, ...]:
    found = [
        FetchedAdapter(
            each.name,
            each.uri,
            each.path or "",
            each.sha256 or "",
            each.endpoint or "",
            each.region or "",
            each.secret_name or "",
            each.max_bytes_value(),
        )
        for each in adapters
        if each.uri is not None
    ]
    return tuple(sorted(found, key=lambda each: each.name))


def _recorder(asked: FlightRecorder | None) -> Recorder | None:
    if asked is None:
        return None
    return Recorder(
        inter_token_p99_seconds=asked.inter_token_seconds(),
        first_token_p99_seconds=asked.first_token_seconds(),
        for_seconds=asked.for_seconds(),
        max_per_hour=asked.max_per_hour,
    )
