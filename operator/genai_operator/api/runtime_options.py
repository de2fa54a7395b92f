"""Live options: parsing every source and merging them key by key. Which pods need them is `status.live_plan`'s work.

The later source wins: `spec.runtimeOptions` < `status.requestedRuntimeOptions` < annotations. A bad value never raises
and never wins: it makes a `Rejected`, and while there is one, nothing is pushed to any pod.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.options_spec import ProfilingLimits, check_enable_profiling, check_terminate_session
from genai_operator.constants import ANNOTATION_ENABLE_PROFILING, ANNOTATION_TERMINATE_SESSION

# The label of a window that was asked for with "1".
DEFAULT_LABEL = "profile"
SHOWN_VALUE_LENGTH = 40

ENABLE_PROFILING = "enable-profiling"
TERMINATE_SESSION = "terminate-session"

_CHECKS = {ENABLE_PROFILING: check_enable_profiling, TERMINATE_SESSION: check_terminate_session}
_ANNOTATIONS = {ENABLE_PROFILING: ANNOTATION_ENABLE_PROFILING, TERMINATE_SESSION: ANNOTATION_TERMINATE_SESSION}
_REQUESTED = {ENABLE_PROFILING: "enableProfiling", TERMINATE_SESSION: "terminateSession"}


@dataclass(frozen=True, slots=True)
class Profiling:
    """A wanted profiling window. A cap of 0 is the runtime's default."""

    label: str
    max_runs: int = 0
    max_bytes: int = 0
    max_seconds: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """The merged desired state of every pod of one model. The defaults are what a pod has that was told nothing."""

    terminate_session: bool = False
    profiling: Profiling | None = None


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


def revision(options: RuntimeOptions) -> str:
    """A short name of the options: equal options have equal revisions, in every version of the operator."""
    canonical = json.dumps(asdict(options), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def desired_options(model: GenAIModel) -> DesiredOptions:
    """Merge all sources of one model."""
    values: dict[str, str] = {}
    rejected: list[Rejected] = []
    for source, found in _sources(model):
        for key, value in found.items():
            try:
                values[key] = _CHECKS[key](value if isinstance(value, str) else "")
            except ValueError as error:
                rejected.append(Rejected(source.format(key=key), key, shown(value), str(error)))
    options = _options(values, model.spec.runtime_options.profiling_limits)
    return DesiredOptions(options, revision(options), tuple(rejected))


def shown(value: object) -> str:
    """A user's value for a message: printable ASCII, at most `SHOWN_VALUE_LENGTH` characters, dots where it was cut."""
    text = str(value)[: SHOWN_VALUE_LENGTH + 1]
    safe = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return safe if len(safe) <= SHOWN_VALUE_LENGTH else safe[: SHOWN_VALUE_LENGTH - 3] + "..."


def _sources(model: GenAIModel) -> list[tuple[str, Mapping[str, Any]]]:
    """(how messages name the source, option -> value), the weakest first."""
    declared = model.spec.runtime_options
    in_spec = {ENABLE_PROFILING: declared.enable_profiling, TERMINATE_SESSION: declared.terminate_session}
    requested = model.status.get("requestedRuntimeOptions")
    requested = requested if isinstance(requested, Mapping) else {}
    annotations = model.metadata.annotations
    return [
        ("spec.runtimeOptions", {key: value for key, value in in_spec.items() if value is not None}),
        (
            "status.requestedRuntimeOptions, {key}",
            {key: requested[name] for key, name in _REQUESTED.items() if requested.get(name) is not None},
        ),
        (
            "annotation genai-operator.io/{key}",
            {key: annotations[name] for key, name in _ANNOTATIONS.items() if name in annotations},
        ),
    ]


def _options(values: Mapping[str, str], limits: ProfilingLimits) -> RuntimeOptions:
    wanted = values.get(ENABLE_PROFILING, "0")
    profiling = None
    if wanted != "0":
        profiling = Profiling(
            label=DEFAULT_LABEL if wanted == "1" else wanted,
            max_runs=limits.max_runs or 0,
            max_bytes=limits.max_bytes_value(),
            max_seconds=limits.max_seconds or 0,
        )
    return RuntimeOptions(terminate_session=values.get(TERMINATE_SESSION) == "1", profiling=profiling)
