"""`status` of a GenAIProfile: the typed form that we write, and that the CRD's schema is made from.

Every list and text is bounded. Which values it takes is decided in `genai_operator.status`.
"""

from typing import Annotated, Literal

from pydantic import Field

from genai_operator.api.base import ApiModel
from genai_operator.api.profile_spec import MAX_PODS
from genai_operator.api.status_model import Condition, Message, ShortText, Time

MAX_TOP_OPERATORS = 10
MAX_LOCATION_LENGTH = 32_768

Count = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]  # what JSON's numbers hold
Percent = Annotated[float, Field(ge=-100, le=1_000_000)]
ReasonText = Annotated[str, Field(max_length=64)]

WindowState = Literal["Pending", "Open", "Merging", "Complete", "Failed"]
Phase = Literal["Pending", "Running", "Collecting", "Complete", "Failed"]


class ProfilePod(ApiModel):
    """The window of one pod."""

    name: ShortText
    uid: Annotated[str, Field(max_length=64)] = Field(default="", description="Empty while no such pod was seen.")
    state: WindowState = "Pending"
    reason: ReasonText = ""
    profile_id: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="What the pod calls the trace."
    )
    runs: Count = Field(default=0, description="Captured.")
    skipped_runs: Count = Field(default=0, description="Inside the window and not selected.")
    requests: Count = 0
    bytes: Count = Field(default=0, description="Raw profile.")
    dropped_runs: Count = Field(default=0, description="Selected, and lost.")
    overhead_percent: Percent | None = Field(
        default=None, description="How much slower tokens came inside the window than just before it."
    )
    message: Message = ""


class TopOperator(ApiModel):
    """One kind of operator on one execution provider."""

    op_type: Annotated[str, Field(max_length=128)]
    provider: Annotated[str, Field(max_length=128)]
    calls: Count
    share_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        description="Of all operators' time: the mean of the pods, weighted by their captured runs."
    )


class Artifact(ApiModel):
    """Where the trace is."""

    type: Literal["Pod", "PersistentVolumeClaim", "S3"]
    location: Annotated[str, Field(max_length=MAX_LOCATION_LENGTH)] = Field(
        description="Of type Pod: pod://POD/PROFILE, separated by commas. Else pvc://CLAIM/PATH or s3://BUCKET/KEY."
    )
    bytes: Count = 0


class GenAIProfileStatus(ApiModel):
    """What came of it."""

    observed_generation: Count = 0
    phase: Phase = "Pending"
    progress: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="Pods whose trace is complete / pods that were chosen."
    )
    started_at: Time | None = None
    finished_at: Time | None = None
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    pods: tuple[ProfilePod, ...] = Field(default=(), max_length=MAX_PODS)
    captured_runs: Count = 0
    captured_requests: Count = 0
    captured_bytes: Count = 0
    dropped_runs: Count = 0
    overhead_percent: Percent | None = None
    top_operators: tuple[TopOperator, ...] = Field(default=(), max_length=MAX_TOP_OPERATORS)
    artifact: Artifact | None = None
