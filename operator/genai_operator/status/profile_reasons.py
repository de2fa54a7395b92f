"""The closed list of a GenAIProfile's conditions and reasons; docs/profiles.md explains each."""

from enum import StrEnum


class ProfileCondition(StrEnum):
    """What is said about a profile."""

    ACCEPTED = "Accepted"
    SUSPENDED = "Suspended"
    CAPTURED = "Captured"
    COLLECTED = "Collected"
    COMPLETE = "Complete"
    FAILED = "Failed"


class ProfileReason(StrEnum):
    """Why a condition is what it is, or why a pod's window is what it is."""

    # The resource.
    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    SUSPENDED = "Suspended"
    NOT_SUSPENDED = "NotSuspended"
    # It waits, or waited for too long.
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_HALTED = "ModelHalted"
    NO_READY_PODS = "NoReadyPods"
    NOT_ENOUGH_PODS = "NotEnoughPods"
    TOO_MANY_PODS = "TooManyPods"
    POD_NOT_FOUND = "PodNotFound"
    POD_NOT_READY = "PodNotReady"
    POD_BUSY = "PodBusy"
    POD_UNREACHABLE = "PodUnreachable"
    # On the way.
    STARTING = "Starting"
    CAPTURING = "Capturing"
    COLLECTING = "Collecting"
    # What was captured, and what not.
    CAPTURED = "Captured"
    NOTHING_CAPTURED = "NothingCaptured"
    POD_GONE = "PodGone"
    POD_RESTARTED = "PodRestarted"
    UNSUPPORTED_RUNS = "UnsupportedRuns"
    REJECTED = "Rejected"
    TRACE_FAILED = "TraceFailed"
    # Why a pod's window closed.
    STOPPED = "Stopped"
    MAX_RUNS = "MaxRuns"
    MAX_BYTES = "MaxBytes"
    MAX_SECONDS = "MaxSeconds"
    SHUTDOWN = "Shutdown"
    ENGINE_RESTART = "EngineRestart"
    CLOSED = "Closed"
    # Where the trace is.
    KEPT_IN_PODS = "KeptInPods"
    COLLECTED = "Collected"
    COLLECTOR_FAILED = "CollectorFailed"


# A pod's word for why a window closed.
CLOSE_REASONS = {
    "disabled": ProfileReason.STOPPED,
    "max_runs": ProfileReason.MAX_RUNS,
    "max_bytes": ProfileReason.MAX_BYTES,
    "max_seconds": ProfileReason.MAX_SECONDS,
    "shutdown": ProfileReason.SHUTDOWN,
    "engine_restart": ProfileReason.ENGINE_RESTART,
}
