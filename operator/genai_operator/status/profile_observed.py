"""What was seen of one GenAIProfile's surroundings, as plain frozen data: the input of the decisions about profiles."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from genai_operator.api.profile_status import WindowState
from genai_operator.status.observed import JobState, ObservedPod
from genai_operator.status.profile_reasons import ProfileReason


@dataclass(frozen=True, slots=True)
class OperatorUse:
    """One kind of operator in a finished window; `share` (0 to 1) is of all operators' time, `microseconds` its own."""

    op_type: str
    provider: str
    calls: int
    share: float
    microseconds: int = 0


@dataclass(frozen=True, slots=True)
class WindowReport:
    """A window as its pod tells it; sizes are bytes."""

    state: WindowState
    profile_id: str = ""
    close_reason: str = ""
    runs: int = 0
    skipped_runs: int = 0
    requests: int = 0
    captured_bytes: int = 0
    trace_bytes: int = 0
    dropped_runs: int = 0
    overhead_percent: float | None = None
    operators: tuple[OperatorUse, ...] = ()
    message: str = ""


class Trouble(StrEnum):
    """Why there is no report."""

    BUSY = "Busy"  # another window is open on the pod
    UNREACHABLE = "Unreachable"
    UNKNOWN = "Unknown"  # the pod does not know the window
    UNSUPPORTED = "Unsupported"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """What came of one call: a report, or trouble with the pod's words. `silent_seconds`: since its last answer."""

    report: WindowReport | None = None
    trouble: Trouble | None = None
    message: str = ""
    silent_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why no pod was chosen yet. `final`: waiting does not help."""

    reason: ProfileReason
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """What became of the collector. Its words are its last line; `location` and `bytes` are set when complete."""

    state: JobState
    message: str = ""
    location: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ObservedProfile:
    """Everything that a profile's plan follows from, besides the GenAIProfile itself. `pods`: the model's, by name."""

    now: datetime
    model_found: bool = True
    model_halted: bool = False
    pods: tuple[ObservedPod, ...] = ()
