"""The closed list of conditions and reasons; docs/status.md explains each. Users' alerts are written against them."""

from enum import StrEnum


class ConditionType(StrEnum):
    """What is said about a model."""

    ACCEPTED = "Accepted"
    MODEL_AVAILABLE = "ModelAvailable"
    MODEL_BUILT = "ModelBuilt"
    WORKLOAD_AVAILABLE = "WorkloadAvailable"
    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    RUNTIME_OPTIONS_APPLIED = "RuntimeOptionsApplied"


class Reason(StrEnum):
    """Why a condition is what it is."""

    # Nothing is wrong.
    ACCEPTED = "Accepted"
    AVAILABLE = "Available"
    SERVING = "Serving"
    COMPLETE = "Complete"
    HEALTHY = "Healthy"
    BUILT = "Built"
    # Wanted by the user.
    SUSPENDED = "Suspended"
    SCALED_TO_ZERO = "ScaledToZero"
    PAUSED = "Paused"
    HALTED = "Halted"
    DRAINING = "Draining"
    # On the way.
    PENDING = "Pending"
    FETCHING = "Fetching"
    FETCHED = "Fetched"
    BUILDING = "Building"
    LOADING = "Loading"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_BLOCKED = "RolloutBlocked"
    # The resource.
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    # The pods.
    QUOTA_EXCEEDED = "QuotaExceeded"
    ADMISSION_DENIED = "AdmissionDenied"
    UNSCHEDULABLE = "Unschedulable"
    AUTOSCALER_UNAVAILABLE = "AutoscalerUnavailable"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    OUT_OF_MEMORY = "OutOfMemory"
    # The model.
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_INVALID = "ModelInvalid"
    MODEL_TOO_LARGE = "ModelTooLarge"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    UNAUTHORIZED = "Unauthorized"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    STORAGE_FULL = "StorageFull"
    BUILD_FAILED = "BuildFailed"
    BUILDER_UNAVAILABLE = "BuilderUnavailable"
    EXECUTION_PROVIDER_UNAVAILABLE = "ExecutionProviderUnavailable"
    PROVIDER_DEGRADED = "ProviderDegraded"
    # Runtime options.
    APPLIED = "Applied"
    NO_PODS = "NoPods"
    APPLYING = "Applying"
    PARTIALLY_APPLIED = "PartiallyApplied"
    UNREACHABLE = "Unreachable"
    UNSUPPORTED = "Unsupported"
    REJECTED = "Rejected"


# The model or its source is to blame.
MODEL_FAULTS = (
    Reason.MODEL_NOT_FOUND,
    Reason.MODEL_INVALID,
    Reason.MODEL_TOO_LARGE,
    Reason.CHECKSUM_MISMATCH,
    Reason.UNAUTHORIZED,
    Reason.SOURCE_UNAVAILABLE,
    Reason.STORAGE_FULL,
)

# What a pod may say of itself in its last words; any other reason there is a crash.
LAST_WORDS = (
    *MODEL_FAULTS,
    Reason.EXECUTION_PROVIDER_UNAVAILABLE,
    Reason.OUT_OF_MEMORY,
    Reason.INVALID_SPEC,
)
