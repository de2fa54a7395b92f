"""`GenAIModel` as read from the cluster: typed metadata and spec, and the status as it lies there.

`spec.py` says what a spec is, `status_model.py` what a status is. Reading only; nothing is decided here.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from genai_operator.api.names import NAME_EXPLANATION, usable_name
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.errors import InvalidModel

INVALID_SPEC = "InvalidSpec"
MAX_PROBLEMS = 5


class ObjectMeta(BaseModel):
    """The part of an object's metadata that we read; other fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """The metadata of any object of the API server, whatever its spec is."""
        metadata = {**body.get("metadata", {})}
        metadata["annotations"] = metadata.get("annotations") or {}
        return cls.model_validate(metadata)

    @property
    def key(self) -> str:
        """namespace/name"""
        return f"{self.namespace}/{self.name}"


class GenAIModel(BaseModel):
    """One model resource. `status` is what the cluster holds, unchecked."""

    model_config = ConfigDict(frozen=True)

    metadata: ObjectMeta
    spec: GenAIModelSpec
    status: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API server.

        Raises:
            InvalidModel: the name or the spec cannot be used; the message names every field that is wrong.
        """
        metadata = ObjectMeta.from_body(body)
        if not usable_name(metadata.name):
            raise InvalidModel(INVALID_SPEC, NAME_EXPLANATION)
        try:
            # A round through plain dicts: kopf hands out read-only views.
            spec = GenAIModelSpec.model_validate(plain(body.get("spec") or {}))
        except ValidationError as error:
            raise InvalidModel(INVALID_SPEC, explain(error)) from error
        return cls(metadata=metadata, spec=spec, status=plain(body.get("status") or {}))


def plain(value: Any) -> Any:
    """The value with plain dicts and lists at every depth."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def explain(error: ValidationError) -> str:
    """The problems as `spec.field: what is wrong`, without the values: they may be long or secret."""
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(["spec", *(str(part) for part in problem["loc"])])
        problems.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}")
    more = len(problems) - MAX_PROBLEMS
    return "; ".join(problems[:MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
