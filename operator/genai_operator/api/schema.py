"""From a pydantic model to the structural schema that the API server takes. Nothing here knows a GenAIModel's fields.

Kubernetes takes a part of OpenAPI 3.0: no references, no unions but int-or-string, and CEL only where the cost of a
rule has a bound. So every text, list and map must have a maximum; one without is an error here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = ("title", "$defs", "additionalProperties", "propertyNames", "discriminator")


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model.

    Raises:
        ValueError: something cannot be said in a structural schema, or a text, list or map has no maximum.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}), model.__name__)


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    merged = _named_map(_without_union(_resolved(schema, definitions), definitions, path))
    result = {key: value for key, value in merged.items() if key not in _DROPPED}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    _inclusive(result)
    if "properties" in merged:
        result["properties"] = {
            name: _structural(part, definitions, f"{path}.{name}") for name, part in merged["properties"].items()
        }
    elif isinstance(merged.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _structural(merged["additionalProperties"], definitions, f"{path}[*]")
        _bound_keys(result, merged.get("propertyNames", {}))
    if "items" in merged:
        result["items"] = _structural(merged["items"], definitions, f"{path}[]")
    _set_default(result)
    _check_bounded(result, path)
    return result


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """The schema with its reference, if any, put in place; what stands beside the reference wins."""
    if "$ref" not in schema:
        return dict(schema)
    target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(target, definitions), **beside}


def _without_union(schema: Schema, definitions: Mapping[str, Any], path: str) -> Schema:
    """`X or null` becomes X: an optional field is absent, never null."""
    choices = schema.pop("anyOf", None)
    if choices is None:
        return schema
    others = [choice for choice in choices if choice.get("type") != "null"]
    if len(others) != 1:
        raise ValueError(f"{path} is a union; give it one type, or WithJsonSchema and x-kubernetes-int-or-string")
    return {**_resolved(others[0], definitions), **schema}


def _named_map(schema: Schema) -> Schema:
    """A map whose keys have a pattern, as one whose keys have any: the pattern becomes a rule."""
    patterns = schema.pop("patternProperties", None)
    if patterns is None:
        return schema
    ((pattern, values),) = patterns.items()
    names = {**schema.get("propertyNames", {}), "pattern": pattern}
    return {**schema, "additionalProperties": values, "propertyNames": names}


def _inclusive(schema: Schema) -> None:
    """JSON Schema's exclusive bounds in the form of OpenAPI 3.0."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema[bound] = schema[exclusive]
            schema[exclusive] = True


def _set_default(schema: Schema) -> None:
    """An object's default is its fields' defaults, written out: rules are checked against it as it stands."""
    if schema.get("default") is not None and "properties" in schema:
        fields = schema["properties"].items()
        schema["default"] = {name: part["default"] for name, part in fields if "default" in part}
    if schema.get("default", ...) in (None, [], {}):
        del schema["default"]


def _bound_keys(schema: Schema, names: Mapping[str, Any]) -> None:
    """A map's keys have no schema; their length and form become rules."""
    rules = list(schema.get("x-kubernetes-validations", []))
    if "maxLength" in names:
        longest = names["maxLength"]
        message = f"names have at most {longest} characters"
        rules.append({"rule": f"self.all(name, size(name) <= {longest})", "message": message})
    if "pattern" in names:
        pattern = names["pattern"]
        rules.append({"rule": f"self.all(name, name.matches('{pattern}'))", "message": f"names match {pattern}"})
    schema["x-kubernetes-validations"] = rules


def _check_bounded(schema: Schema, path: str) -> None:
    kind, missing = schema.get("type"), ""
    if (kind == "string" and "enum" not in schema) or schema.get("x-kubernetes-int-or-string"):
        missing = "maxLength"
    elif kind == "array":
        missing = "maxItems"
    elif kind == "object" and "additionalProperties" in schema:
        missing = "maxProperties"
    elif kind in ("integer", "number") and "minimum" not in schema:
        missing = "minimum"
    if missing and missing not in schema:
        raise ValueError(f"{path} has no {missing}")
