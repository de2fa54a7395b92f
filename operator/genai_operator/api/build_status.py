"""`status.build`: what became of a model's build Job, and what it made. Bounded; values are `status/building.py`'s.

The figures are of the newest build that ended well, which pods serve, also while another one goes on or has failed.
"""

from typing import Annotated, Literal

from pydantic import Field

from genai_operator.api import model_uri
from genai_operator.api.base import ApiModel
from genai_operator.api.build_spec import MAX_REQUEST_LENGTH
from genai_operator.api.provider_spec import Precision, Provider

_Name = Annotated[str, Field(max_length=253)]
_Message = Annotated[str, Field(max_length=1024)]
_Revision = Annotated[str, Field(max_length=64)]
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 40})]
_Request = Annotated[str, Field(max_length=MAX_REQUEST_LENGTH)]
_Figure = Annotated[float, Field(ge=0)]


class BuildQuality(ApiModel):
    """How well the built model predicts a text, beside its source in fp32. Lower is better; or why it is not known."""

    perplexity: _Figure | None = None
    reference_perplexity: _Figure | None = Field(default=None, description="Of the source, in fp32.")
    increase_percent: Annotated[float, Field(ge=-100)] | None = None
    tokens: int | None = Field(default=None, ge=0, description="Predicted ones.")
    text: _Name | None = Field(default=None, description="Which text it was.")
    not_measured: _Message | None = Field(default=None, description="Why there are no figures.")


class BuiltModel(ApiModel):
    """What pods are told of a built model, as it was built: the spec may ask for another one since."""

    revision: _Revision
    request: _Request | None = None
    uri: Annotated[str, Field(max_length=model_uri.MAX_LENGTH)]
    provider: Provider
    precision: Precision
    claim_name: _Name


class BuildStatus(ApiModel):
    """A build, and what pods serve of it."""

    state: Literal["Pending", "Fetching", "Building", "Complete", "Failed"] = Field(
        description="Of the build that the spec asks for."
    )
    reason: Annotated[str, Field(max_length=64)] = Field(description="As in the condition ModelBuilt.")
    message: _Message = ""
    revision: _Revision = Field(description="Names what is built: source, provider, precision and build options.")
    request: _Request | None = Field(default=None, description="spec.model.build.request of this build.")
    step: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="Resolving, Fetching, Verifying, Building or Measuring."
    )
    percent: int | None = Field(default=None, ge=0, le=100, description="Of what is fetched, then of the build.")
    pod: _Name | None = Field(default=None, description="The Job's pod, which has the logs.")
    digest: Annotated[str, Field(max_length=64, pattern=model_uri.SHA256_PATTERN)] | None = Field(
        default=None, description="Of the built folder."
    )
    size_bytes: int | None = Field(default=None, ge=0)
    files: int | None = Field(default=None, ge=0)
    cached: bool | None = Field(default=None, description="It had been built before, and was found in the cache.")
    builder: _Name | None = Field(default=None, description="What built it, with its version.")
    seconds: _Figure | None = Field(default=None, description="That building and measuring took.")
    quality: BuildQuality | None = None
    served: BuiltModel | None = Field(default=None, description="What the digest was built as.")
    started_at: _Time | None = None
    at: _Time | None = Field(default=None, description="When it ended.")
