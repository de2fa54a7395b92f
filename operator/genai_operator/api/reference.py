"""The pages docs/genaimodel.md and genaiprofile.md: every field of a spec as the API server knows it.

Bounds, defaults and words are the schema's; nothing is said here that is not there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from genai_operator.api.schema import Schema

_HEAD = """\
# {kind}: the fields of `spec`

<!-- Generated from operator/genai_operator/api by `python -m genai_operator.api.crd`; edit those models. -->

{introduction}
| field | may be | default | meaning |
|---|---|---|---|
"""
_RULES = "\n## Rules between fields\n\n"


def reference_page(kind: str, introduction: str, spec: Schema) -> str:
    """The page for the structural schema of a kind's spec; `introduction` is what its reader must know first."""
    rows = [_row(path, schema) for path, schema in _fields(spec, "")]
    rules = [f"- {message}" for message in _rules(spec)]
    head = _HEAD.format(kind=kind, introduction=introduction)
    return head + "\n".join(rows) + "\n" + _RULES + "\n".join(rules) + "\n"


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Fields with their paths; an object's own row is its description, and its fields follow."""
    for name, part in schema.get("properties", {}).items():
        own = f"{path}.{name}".lstrip(".")
        yield own, part
        yield from _fields(part, own)
        yield from _fields(part.get("items", {}), f"{own}[]")


def _row(path: str, schema: Schema) -> str:
    default = schema.get("default", "")
    shown = "" if isinstance(default, Mapping) and "properties" in schema else _literal(default)
    words = str(schema.get("description", "")).replace("|", "\\|").replace("\n", " ")
    return f"| `{path}` | {_kind(schema)} | {shown} | {words} |"


def _literal(value: Any) -> str:
    if value == "":
        return ""
    if isinstance(value, Mapping):
        return "`" + ", ".join(f"{name}: {part}" for name, part in value.items()) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    rules = [each["message"] for each in schema.get("x-kubernetes-validations", [])]
    if schema.get("x-kubernetes-int-or-string") or (schema.get("type") == "string" and rules):
        return rules[0].removeprefix("must be ") if rules else "a quantity"
    if "minimum" in schema:
        return _range(schema)
    if schema.get("type") == "array":
        return f"a list, {schema['maxItems']} at most"
    if "additionalProperties" in schema:
        return f"a map, {schema['maxProperties']} at most"
    return {"boolean": "`true`, `false`", "string": "text", "object": ""}[schema["type"]]


def _range(schema: Schema) -> str:
    low = f"above {schema['minimum']:g}," if schema.get("exclusiveMinimum") else f"{_plain(schema['minimum'])}"
    return f"{low} to {_plain(schema['maximum'])}" if "maximum" in schema else f"{low} or more"


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _rules(schema: Schema) -> Iterator[str]:
    """The messages of rules that objects have: those of single values are in their rows."""
    if "properties" in schema:
        yield from (each["message"] for each in schema.get("x-kubernetes-validations", []))
    parts = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    for part in parts:
        yield from _rules(part)
