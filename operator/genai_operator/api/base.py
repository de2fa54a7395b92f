"""The base of everything a user writes: camelCase names, no unknown fields, immutable after parsing. No fields."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of a resource. Python's names are snake_case, the cluster's are camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def cel(rule: str, message: str, *more: tuple[str, str]) -> dict[str, Any]:
    """CEL validations, for `json_schema_extra`; the API server shows the message with the field's path."""
    rules = ((rule, message), *more)
    return {"x-kubernetes-validations": [{"rule": each, "message": said} for each, said in rules]}
