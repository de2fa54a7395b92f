"""`GenAIProfile` as read from the cluster: typed metadata and spec, and our own last status.

`profile_spec.py` says what a spec is, `profile_status.py` what a status is. Reading only; nothing is decided here.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genai_operator.api.genaimodel import INVALID_SPEC, ObjectMeta, explain, plain
from genai_operator.api.names import PROFILE_NAME_EXPLANATION, usable_name
from genai_operator.api.profile_spec import GenAIProfileSpec
from genai_operator.api.profile_status import GenAIProfileStatus
from genai_operator.errors import InvalidProfile

# A label of the pods' profiles has at most so many characters.
_LABEL_LENGTH = 40


class GenAIProfile(BaseModel):
    """One profile resource. `raw_status` is what the cluster holds, unchecked; `status` the same, typed."""

    model_config = ConfigDict(frozen=True)

    metadata: ObjectMeta
    spec: GenAIProfileSpec
    status: GenAIProfileStatus = GenAIProfileStatus()
    raw_status: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API server. A status that another version wrote counts as none.

        Raises:
            InvalidProfile: the name or the spec cannot be used; the message names every field that is wrong.
        """
        metadata = ObjectMeta.from_body(body)
        if not usable_name(metadata.name):
            raise InvalidProfile(INVALID_SPEC, PROFILE_NAME_EXPLANATION)
        try:
            spec = GenAIProfileSpec.model_validate(plain(body.get("spec") or {}))
        except ValidationError as error:
            raise InvalidProfile(INVALID_SPEC, explain(error)) from error
        raw = plain(body.get("status") or {})
        return cls(metadata=metadata, spec=spec, status=_status(raw), raw_status=raw)

    @property
    def window_id(self) -> str:
        """What the pods know the window by: however often it is asked for, it is opened once."""
        return window_id(self.metadata.uid)

    @property
    def label(self) -> str:
        """The beginning of the profile's name, for the traces in the pods."""
        return self.metadata.name[:_LABEL_LENGTH].rstrip("-")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do but to delete it in time."""
        return self.raw_status.get("phase") in ("Complete", "Failed")


WINDOW_PREFIX = "gap-"


def window_id(uid: str) -> str:
    """The window of the GenAIProfile with this uid."""
    return f"{WINDOW_PREFIX}{uid}"


def _status(raw: Mapping[str, Any]) -> GenAIProfileStatus:
    try:
        return GenAIProfileStatus.model_validate(raw)
    except ValidationError:
        return GenAIProfileStatus()
