"""Every way in which one value of a GenAIModel's spec can be wrong, from the CRD's own schema: a type, a bound, a form.

Rules between fields are `random_specs.rule_breaking_spec`'s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from support.random_specs import PLAIN, SPEC_SCHEMA, Schema, Spec, Where, explained, fields, put, value

_NO_FORM = "\t no form takes this \x7f"
_UNKNOWN = "noSuchField"
_OTHER_TYPES: dict[str, Any] = {"string": 7, "integer": "seven", "number": "seven", "boolean": "yes"}


@dataclass(frozen=True)
class Break:
    """One way to be wrong: what is done at which place, and the field that a refusal has to name."""

    what: str
    where: Where
    wrong: Callable[[Random], Any]
    missing: str = ""  # a field that is left out, or one that nobody knows

    def spec(self, random: Random) -> tuple[Spec, str]:
        """A spec that is wrong in this way, and the name of the field as the API server writes it."""
        spec: Spec = {**PLAIN, "model": dict(PLAIN["model"])}
        wrong = self.wrong(random)
        if self.where:
            place = put(spec, self.where, wrong, random)
        else:
            spec, place = {**spec, **wrong}, ()
            if self.missing in PLAIN:
                del spec[self.missing]
        return spec, shown((*place, self.missing) if self.missing else place)


def shown(where: Where) -> str:
    """A place as the API server writes it."""
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)


def every_break() -> Iterator[Break]:
    """All of them, in the order of the schema."""
    for where, schema in fields(SPEC_SCHEMA):
        for what, wrong in _wrong_values(schema):
            if where:
                yield Break(what, where, wrong)
        if "properties" in schema:
            yield Break("unknown field", where, _with_unknown(schema), _UNKNOWN)
            for name in schema.get("required", ()):
                yield Break("missing field", where, _without(schema, name), name)


def _wrong_values(schema: Schema) -> Iterator[tuple[str, Callable[[Random], Any]]]:
    if schema.get("x-kubernetes-int-or-string"):
        yield "wrong type", lambda _: [1]
        yield "wrong form", lambda _: _NO_FORM
        return
    yield "wrong type", lambda _: _OTHER_TYPES.get(schema["type"], "text")
    if "enum" in schema:
        yield "wrong word", lambda _: "no-such-word"
    elif schema["type"] == "string":
        yield from _wrong_texts(schema)
    elif schema["type"] in ("integer", "number"):
        yield from _wrong_numbers(schema)
    elif schema["type"] == "array":
        yield "too many", lambda random: [value(schema["items"], random) for _ in range(schema["maxItems"] + 1)]
        if schema.get("minItems"):
            yield "too few", lambda _: []
    elif "additionalProperties" in schema:
        part = schema["additionalProperties"]
        yield "too many", lambda random: {f"a{n}": value(part, random) for n in range(schema["maxProperties"] + 1)}
        yield "wrong key", lambda random: {_NO_FORM: value(part, random)}


def _wrong_texts(schema: Schema) -> Iterator[tuple[str, Callable[[Random], Any]]]:
    yield "too long", lambda _: "a" * (schema["maxLength"] + 1)
    if "pattern" in schema or "x-kubernetes-validations" in schema:
        yield "wrong form", lambda _: _NO_FORM[: schema["maxLength"]]
    if schema.get("minLength"):
        yield "empty", lambda _: ""


def _wrong_numbers(schema: Schema) -> Iterator[tuple[str, Callable[[Random], Any]]]:
    below = schema["minimum"] - (0 if schema.get("exclusiveMinimum") else 1)
    yield "too small", lambda _: below
    if "maximum" in schema:
        above = schema["maximum"] + (0 if schema.get("exclusiveMaximum") else 1)
        yield "too large", lambda _: above


def _with_unknown(schema: Schema) -> Callable[[Random], Spec]:
    return lambda random: {**(value(schema, random) if schema is not SPEC_SCHEMA else {}), _UNKNOWN: 1}


def _without(schema: Schema, name: str) -> Callable[[Random], Spec]:
    def make(random: Random) -> Spec:
        made = value(schema, random) if schema is not SPEC_SCHEMA else {}
        made.pop(name, None)
        return made

    return make


def told_by_the_model(spec: Spec, name: str) -> bool:
    """Whether the typed model complains of that field, or of what holds it."""
    places = [shown(where) for where, _ in explained(spec)]
    return any(name.startswith(place) or place.startswith(name) for place in places)
