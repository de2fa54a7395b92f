"""`spec` of a GenAIProfile: what a window captures, on which pods, and where its trace goes.

What happened is `profile_status.py`'s. Bounds are those that pods have; the API server and we refuse the same values.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.model_uri import RELATIVE_PATTERN
from genai_operator.api.names import MAX_NAME_LENGTH, NAME_PATTERN
from genai_operator.api.options_spec import ProfilingLimits
from genai_operator.api.server_spec import SecretName

MAX_PODS = 100
_POD_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
# As pods check a request's id, and as they name clients: an API key's name or a peer's address.
_REQUEST_ID = r"^[A-Za-z0-9._-]+$"
_CLIENT = r"^[A-Za-z0-9._:-]+$"
_RUN = r"(prefill|[0-9]{1,7}(-[0-9]{1,7})?)"
_RUNS = rf"^(every [1-9][0-9]{{0,5}}|{_RUN}(,{_RUN})*)$"
_RUNS_LENGTH = 200
_RUNS_PARTS = 64
RUNS_EXPLANATION = (
    'must be "every N", or a list such as "prefill,0-3,50-60" of the word prefill, tokens and ranges of tokens that '
    f"do not run backwards; {_RUNS_LENGTH} characters and {_RUNS_PARTS} parts at most"
)
_OBJECT = r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_SELECTOR_EXPLANATION = "pods must have exactly one of names, count and percent"
_IMMUTABLE = "cannot change: a window is opened once; make another GenAIProfile"


def _check_runs(value: str) -> str:
    if len(value) > _RUNS_LENGTH or re.fullmatch(_RUNS.strip("^$"), value) is None:
        raise ValueError(RUNS_EXPLANATION)
    parts = value.split(",")
    if len(parts) > _RUNS_PARTS:
        raise ValueError(RUNS_EXPLANATION)
    for part in parts:
        first, dash, last = part.partition("-")
        if dash and int(first) > int(last):
            raise ValueError(RUNS_EXPLANATION)
    return value


Runs = Annotated[
    str,
    AfterValidator(_check_runs),
    Field(
        max_length=_RUNS_LENGTH,
        json_schema_extra=cel(
            f"self.matches('{_RUNS}') && size(self.split(',')) <= {_RUNS_PARTS} && "
            "self.split(',').all(part, !part.matches('^[0-9]+-[0-9]+$') || "
            "int(part.split('-')[0]) <= int(part.split('-')[1]))",
            RUNS_EXPLANATION,
        ),
    ),
]


class PodSelector(ApiModel):
    """Which of the model's pods; chosen once, when the profile starts, from the Ready ones in the order of names."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(has(self.names) ? 1 : 0) + (has(self.count) ? 1 : 0) + (has(self.percent) ? 1 : 0) == 1",
            _SELECTOR_EXPLANATION,
        )
    )

    names: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=_POD_NAME)], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PODS,
        description="These pods.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    count: StrictInt | None = Field(default=None, ge=1, le=MAX_PODS, description="So many; it waits until there are.")
    percent: StrictInt | None = Field(default=None, ge=1, le=100, description="Of the Ready pods, rounded up.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.names, self.count, self.percent)) != 1:
            raise ValueError(_SELECTOR_EXPLANATION)
        if self.names is not None and len(set(self.names)) < len(self.names):
            raise ValueError("pods.names must differ")
        return self


class RequestSelector(ApiModel):
    """Which requests' runs are captured. A request must match every field that is set."""

    sample_rate: float | None = Field(
        default=None, gt=0, le=1, description="Share of the requests, chosen by their ids. Absent: all."
    )
    ids: tuple[Annotated[str, Field(min_length=1, max_length=64, pattern=_REQUEST_ID)], ...] = Field(
        default=(), max_length=64, description="Requests with these ids."
    )
    clients: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=_CLIENT)], ...] = Field(
        default=(), max_length=64, description="Requests of these clients: names of API keys, or peers' addresses."
    )


class ClaimOutput(ApiModel):
    """A folder of a PersistentVolumeClaim in the profile's namespace."""

    claim_name: SecretName = Field(description="The PersistentVolumeClaim.")
    path: Annotated[str, Field(min_length=1, max_length=512, pattern=RELATIVE_PATTERN)] | None = Field(
        default=None, description="Folder in it. Absent: the profile's name."
    )


class S3Output(ApiModel):
    """A prefix in a bucket of S3, or of a server that speaks its protocol."""

    uri: Annotated[str, Field(max_length=512, pattern=rf"^s3://{_BUCKET}(/{_OBJECT})+$")] = Field(
        description="s3://BUCKET/PREFIX; the files are written under it."
    )
    endpoint: Annotated[str, Field(max_length=253, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")] | None = Field(
        default=None, description="URL of the server. Absent: Amazon's."
    )
    region: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")] | None = Field(
        default=None, description="The bucket's. Absent: us-east-1."
    )
    secret_name: SecretName | None = Field(
        default=None,
        description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN. "
        "Absent: the bucket takes anonymous writes.",
    )


_OUTPUT_EXPLANATION = (
    "output must have persistentVolumeClaim with type PersistentVolumeClaim, s3 with type S3, and neither otherwise"
)


class Output(ApiModel):
    """Where the trace goes. It always stays in the pods as well, until they end or newer profiles need the room."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "has(self.persistentVolumeClaim) == (self.type == 'PersistentVolumeClaim') && "
            "has(self.s3) == (self.type == 'S3')",
            _OUTPUT_EXPLANATION,
        )
    )

    type: Literal["Pod", "PersistentVolumeClaim", "S3"] = Field(
        default="Pod", description="Pod: each pod keeps its own trace. Else one trace of all pods, by a Job."
    )
    persistent_volume_claim: ClaimOutput | None = None
    s3: S3Output | None = None

    @model_validator(mode="after")
    def _matches_type(self) -> Self:
        claim, s3 = self.persistent_volume_claim is not None, self.s3 is not None
        if (claim, s3) != (self.type == "PersistentVolumeClaim", self.type == "S3"):
            raise ValueError(_OUTPUT_EXPLANATION)
        return self


def _unchanged(field: str) -> tuple[str, str]:
    same = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return f"has(self.{field}) == has(oldSelf.{field}) && {same}", f"{field} {_IMMUTABLE}"


class GenAIProfileSpec(ApiModel):
    """A profiling window, once, on pods of one model. Only suspend and the two times may change afterwards."""

    model_config = ConfigDict(
        json_schema_extra=cel(*_unchanged("model"), *map(_unchanged, ("pods", "requests", "runs", "limits", "output")))
    )

    model: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NAME_PATTERN)] = Field(
        description="Name of the GenAIModel in the same namespace."
    )
    pods: PodSelector | None = Field(default=None, description="Absent: all Ready pods.")
    requests: RequestSelector | None = Field(default=None, description="Absent: all requests.")
    runs: Runs | None = Field(
        default=None,
        description='Which runs of the model: "prefill,0-3,50-60" are the prompts and the runs that make these tokens '
        'of an answer, "every 100" is one run in 100. Absent: all.',
    )
    limits: ProfilingLimits | None = Field(
        default=None, description="On each pod; the window closes at the first that is reached."
    )
    output: Output = Output()
    suspend: StrictBool = Field(
        default=False,
        description="Before the profile starts: it waits. While windows are open: closes them and keeps what was "
        "captured. Afterwards: nothing.",
    )
    start_deadline_seconds: StrictInt = Field(
        default=300, ge=1, le=86_400, description="How long it waits for pods that are busy or not ready."
    )
    ttl_seconds_after_finished: StrictInt | None = Field(
        default=None, ge=0, le=31_536_000, description="Then it is deleted. Absent: it is kept."
    )
