"""What was seen of one model in the cluster, as plain frozen data: the input of every pure decision in `status/`.

Filled by `services/` from watch events and from pods' answers. Knows nothing of Kubernetes' wire format beyond
`from_*` readers of the few fields that decisions need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from genai_operator.api.status_model import ProviderPlacement
from genai_operator.constants import CONTAINER_FETCH


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """One pod of the model. Messages are the kubelet's; `terminated_message` is the last container's own last words."""

    name: str
    uid: str
    ip: str = ""
    phase: str = ""
    ready: bool = False
    deleting: bool = False
    created: str = ""
    container_id: str = ""
    running: bool = False
    restarts: int = 0
    waiting_reason: str = ""
    waiting_message: str = ""
    terminated_reason: str = ""
    terminated_message: str = ""
    exit_code: int | None = None
    unschedulable_message: str = ""
    containers_ready: bool = False
    template: str = ""  # which pod template it was made from
    gated: bool = False  # it takes no traffic before `measured` is True
    measured: str = ""  # status of the readiness gate's condition; empty: none yet
    measured_message: str = ""
    preparation: str = ""  # its init container for the model: fetch, verify; empty: it has none
    preparation_id: str = ""  # that container's
    preparing: bool = False  # it runs
    prepared: bool = False  # it ended well
    folder_words: str = ""  # its last ones then
    initial: str = ""  # the init container that runs now, or does not get anywhere

    @property
    def fetching(self) -> bool:
        """Whether it fetches the model now."""
        return self.preparing and self.preparation == CONTAINER_FETCH


def fetching_container(pod: ObservedPod) -> str:
    """The container that fetches the model now; empty where none does."""
    return pod.preparation_id or pod.preparation if pod.fetching else ""


def building_container(pod: ObservedPod) -> str:
    """In the pod of a build Job, the container that fetches or builds now; empty where none does."""
    return fetching_container(pod) or (pod.container_id if pod.running else "")


@dataclass(frozen=True, slots=True)
class ObservedDeployment:
    """The model's Deployment."""

    generation: int = 0
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    image: str = ""  # of the model's container
    failure_message: str = ""  # of condition ReplicaFailure: quota, admission


class JobState(StrEnum):
    """What became of a Job that we made."""

    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"


class PodOptionsState(StrEnum):
    """What became of the desired runtime options on one pod."""

    APPLIED = "Applied"
    PENDING = "Pending"
    UNREACHABLE = "Unreachable"
    UNSUPPORTED = "Unsupported"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a pod is with fetching or building (ControlService.GetFetchProgress); 0: not known."""

    state: str  # Resolving, Fetching, Verifying, Building, Measuring, Complete or Failed
    fetched_bytes: int = 0
    total_bytes: int = 0
    remaining_seconds: float = 0.0
    percent: int = 0  # of a build


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a pod says it serves (ControlService.GetModel)."""

    engine: str
    engine_reason: str
    provider: str
    intra_op_threads: int
    max_sequence_length: int
    tokens_per_second: float
    time_to_first_token_seconds: float
    max_batch_size: int = 1
    prefill_chunk: int = 0
    kv_tokens: int = 0  # 0: this engine does not count them
    prefix_caching: bool = False
    adapters: tuple[str, ...] = ()
    placement: tuple[ProviderPlacement, ...] = ()  # empty: not measured
    precision: str = ""  # empty: the graph does not tell
    provider_reason: str = ""  # why another provider than the one asked for; empty: it is that one
    inter_op_threads: int = 0  # operators that run at the same time; 0: one after the other
    spinning: bool = False
    thread_cpus: tuple[int, ...] = ()  # the CPU of each thread; empty: none is bound to one


@dataclass(frozen=True, slots=True)
class Recording:
    """The newest window of a pod, which it opened by itself."""

    profile_id: str
    trigger: str  # what was missed
    at: str  # RFC 3339


@dataclass(frozen=True, slots=True)
class AdapterAnswer:
    """What became of a LoRA adapter on a pod: Fetching, Loading, Loaded, Unloading or Rejected."""

    name: str
    state: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodAnswer:
    """The last exchange with one container of a pod about its runtime options.

    The counts are as of the last time the pod was asked.
    """

    container_id: str
    revision: str
    state: PodOptionsState
    message: str = ""
    at: str = ""  # RFC 3339, when the state became what it is
    served: ServedModel | None = None  # once the container has been Ready
    unsupported: tuple[str, ...] = ()  # options that the engine cannot apply, by annotation name
    requests: int = 0  # that run or wait
    cancelled_requests: int = 0  # by the present cancel rule
    recording: Recording | None = None
    adapters: tuple[AdapterAnswer, ...] = ()


class TuningState(StrEnum):
    """How far a model's tuning is; ANSWERED: as the status says."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    ANSWERED = "Answered"


@dataclass(frozen=True, slots=True)
class ObservedTuning:
    """What became of a model's tuning Job; `result` is what it printed when it is complete."""

    revision: str
    state: TuningState
    message: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


class BuildState(StrEnum):
    """How far a model's build is; ANSWERED: as the status says."""

    PENDING = "Pending"
    FETCHING = "Fetching"
    BUILDING = "Building"
    COMPLETE = "Complete"
    FAILED = "Failed"
    ANSWERED = "Answered"


@dataclass(frozen=True, slots=True)
class ObservedBuild:
    """What became of a model's build Job. `reason` is the condition's; `result` what it printed when it is complete."""

    revision: str
    state: BuildState
    reason: str = ""
    message: str = ""
    pod: str = ""
    progress: FetchProgress | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """Everything that status and plans follow from, besides the GenAIModel itself."""

    deployment: ObservedDeployment | None = None
    pods: tuple[ObservedPod, ...] = ()
    answers: Mapping[str, PodAnswer] = field(default_factory=dict)  # by pod uid
    fetches: Mapping[str, FetchProgress] = field(default_factory=dict)  # by pod uid, of those that fetch
    conflict: str = ""  # a child's name is taken by a foreign object: which, and whose
    refusal: str = ""  # the API server refuses a child for good: which, and its words
    gate: str = ""  # what a new pod's measurement waits for
    tuning: ObservedTuning | None = None  # None: it was not looked at
    build: ObservedBuild | None = None  # the same
    paused: bool = False
    now: str = ""  # RFC 3339
