"""Random specs of GenAIModels, drawn from the CRD's own schema: fields that come later are drawn as well.

A value is drawn field by field from the schema. Where a rule between fields, which no schema says, is broken, what the
rule is about is taken out again until the typed model accepts the rest. Equal numbers give equal specs. What should be
refused is `broken_specs.py`'s.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genai_operator.api.schema import structural_schema
from genai_operator.api.spec import GenAIModelSpec

Spec = dict[str, Any]
Schema = Mapping[str, Any]
Where = tuple[int | str, ...]

SPEC_SCHEMA: Schema = structural_schema(GenAIModelSpec)
PLAIN: Spec = {"model": {"uri": "builtin://hello"}}

# Fields that are for models that are built, and such a model.
_OF_SWEEP = ("precision", "int4BlockSize", "int4AccuracyLevel", "maxPerplexityIncreasePercent")
_OF_BUILDS = (("model", "build"), *(("tuning", "sweep", name) for name in _OF_SWEEP))
_BUILT: Spec = {
    "model": {"uri": "hf://org/repo@main", "cache": {"claimName": "a"}, "build": {}},
    "provider": "cpu",
    "precision": "int4",
    "tuning": {"sweep": {"precision": ["int4", "fp32"]}},
}

_POOL = 25
_REDRAWS = 20
_TURNS = 3
_MOSTLY = 0.8
_LONGEST_LIST = 3
_LONGEST_TEXT = 64
_MATCHES = re.compile(r"^self\.matches\('([^']*)'\)$")
_KEY_MATCHES = re.compile(r"^self\.all\(name, name\.matches\('([^']*)'\)\)$")
# Forms that the schema has no pattern for: URIs, quantities, durations, rules. A field takes those it can.
_WORDS = (
    *("builtin://hello", "pvc://claim/a/b", "hf://org/repo@main", "s3://bucket/prefix", "gs://bucket/prefix"),
    *("oci://registry.example/repo:tag", "configmap://name", "https://host.example/model.tar.gz"),
    *("auto", "0", "1", "2", "500m", "1500m", "64Mi", "1Gi", "3G", "1e3", "on", "slow", "debug"),
    *("30s", "1m30s", "80ms", "2.5s", "client=a", "older-than=1h,tokens-over=5", "request-id=a.b"),
)
# An overlay's form is a pod's, not the CRD's.
_OVERLAYS: tuple[Spec, ...] = (
    {"spec": {"dnsPolicy": "ClusterFirst"}},
    {"metadata": {"annotations": {"team": "a"}}, "spec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]}},
    {"spec": {"containers": [{"name": "model", "env": [{"name": "MINE", "value": "1"}]}]}},
)


def valid_spec(number: int) -> Spec:
    """A spec that the typed model accepts. Each field has its turn; rules may take it out again, and again."""
    random = Random(number)
    where, schema = FIELDS[number % len(FIELDS)]
    for _ in range(_TURNS):
        spec = {**PLAIN, **_object(SPEC_SCHEMA, random)}
        if where[:2] in _OF_BUILDS or where[:3] in _OF_BUILDS:
            spec.update(copy.deepcopy(_BUILT))
        put(spec, where, value(schema, random), random)
        while problems := explained(spec):
            spec = _repaired(spec, problems[0], random)
        if _has(spec, where):
            break
    return spec


def rule_breaking_spec(number: int) -> tuple[Spec, str] | None:
    """A spec of good values that breaks a rule between fields, with that rule's words; None: it breaks none."""
    random = Random(number)
    spec = {**PLAIN, **_object(SPEC_SCHEMA, random)}
    if random.random() < _MOSTLY:  # else most would break the rules about sources
        spec.update(PLAIN)
    while problems := explained(spec):
        others = [each for each in problems if not any(each[1].startswith(rule) for rule in RULES)]
        if not others:
            return spec, next(rule for rule in RULES if problems[0][1].startswith(rule))
        spec = _repaired(spec, others[0], random)
    return None


def explained(spec: Spec) -> list[tuple[Where, str]]:
    """What the typed model has against a spec: where, and its words."""
    try:
        GenAIModelSpec.model_validate(spec)
    except ValidationError as error:
        return [(each["loc"], each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return []


def fields(schema: Schema, path: Where = ()) -> Iterator[tuple[Where, Schema]]:
    """All values that a spec may have, with their schemas; "0" is any element of a list, "*" any of a map."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from fields(part, (*path, name))
    if "items" in schema:
        yield from fields(schema["items"], (*path, 0))
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from fields(schema["additionalProperties"], (*path, "*"))


def value(schema: Schema, random: Random) -> Any:
    """A value that the schema takes, rules between fields left aside."""
    if "enum" in schema:
        return random.choice(schema["enum"])
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return copy.deepcopy(random.choice(_OVERLAYS))
    if schema.get("x-kubernetes-int-or-string"):
        return random.choice((random.randint(1, 64), random.choice(_WORDS)))
    kind = schema["type"]
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("integer", "number"):
        return _number(schema, random)
    if kind == "string":
        return random.choice(_texts(_pattern(schema), schema.get("minLength", 0), schema["maxLength"]))
    if kind == "array":
        count = random.randint(schema.get("minItems", 0), min(schema["maxItems"], _LONGEST_LIST))
        return [value(schema["items"], random) for _ in range(count)]
    return _map(schema, random) if "additionalProperties" in schema else _object(schema, random)


def put(spec: Spec, where: Where, new: Any, random: Random) -> Where:
    """Puts a value at a place of `fields`, draws what is missing on the way, and says where: "*" has become a key."""
    here: Any = spec
    schema = SPEC_SCHEMA
    found: list[int | str] = []
    for at, step in enumerate(where):
        schema = part_of(schema, step)
        last = at == len(where) - 1
        if isinstance(here, list):
            here[:1] = [new if last else (here[0] if here else value(schema, random))]
        else:
            step = "a" if step == "*" else step
            here[step] = new if last else here.get(step) or _some(schema, random)
        found.append(step)
        here = here[step]
    return tuple(found)


def _has(spec: Spec, where: Where) -> bool:
    """Whether there is something at a place without "*"."""
    here: Any = spec
    for step in where:
        if not here or (isinstance(here, dict) and step not in here):
            return False
        here = here[step]
    return True


def part_of(schema: Schema, step: int | str) -> Schema:
    """The schema of a field, of a list's elements or of a map's values."""
    if isinstance(step, int):
        return dict(schema["items"])
    return dict(schema.get("properties", {}).get(step) or schema["additionalProperties"])


def _some(schema: Schema, random: Random) -> Any:
    """A value with room for a part of it."""
    return [value(schema["items"], random)] if schema["type"] == "array" else value(schema, random)


def _number(schema: Schema, random: Random) -> float:
    low, high = schema["minimum"], schema.get("maximum", 2**31 - 1)
    if schema["type"] == "number":
        return round(random.uniform(low, high), 3) or high
    return random.choice((int(low), int(high), random.randint(int(low), min(int(high), int(low) + 64))))


def _object(schema: Schema, random: Random) -> Spec:
    """Required fields, and of the others some, a few or all."""
    share = random.choice((0.15, 0.4, 1.0)) if schema is not SPEC_SCHEMA else 0.3
    required = schema.get("required", ())
    return {
        name: value(part, random)
        for name, part in schema["properties"].items()
        if name in required or random.random() < share
    }


def _map(schema: Schema, random: Random) -> Spec:
    patterns = (_KEY_MATCHES.match(rule["rule"]) for rule in schema.get("x-kubernetes-validations", ()))
    keys = _texts(next((found[1] for found in patterns if found), "^[a-z]{1,8}$"), 1, 63)
    return {
        random.choice(keys): value(schema["additionalProperties"], random)
        for _ in range(random.randint(0, min(schema["maxProperties"], _LONGEST_LIST)))
    }


def _pattern(schema: Schema) -> str:
    """The regular expression of a text, from the schema or from its rule; empty where it has none."""
    if "pattern" in schema:
        return str(schema["pattern"])
    rules = (_MATCHES.match(rule["rule"]) for rule in schema.get("x-kubernetes-validations", ()))
    return next((found[1].replace("\\\\", "\\") for found in rules if found), "")


@cache
def _texts(pattern: str, shortest: int, longest: int) -> tuple[str, ...]:
    """Texts of a form, the same ones in every run; of no form, any, and the words that some field may take."""
    longest = min(longest, _LONGEST_TEXT)
    if pattern:
        strategy = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    else:
        strategy = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))
    found = [*_examples(strategy.filter(lambda text: shortest <= len(text) <= longest and "\n" not in text))]
    return tuple(found) if pattern else (*found, *(word for word in _WORDS if len(word) <= longest))


def _examples(strategy: st.SearchStrategy[str]) -> list[str]:
    found: list[str] = []

    @settings(
        max_examples=_POOL,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


def _repaired(spec: Spec, problem: tuple[Where, str], random: Random) -> Spec:
    """The spec with what a complaint is about drawn again; without it, if that does not help."""
    where, said = problem
    parent: Any = None
    key: Any = None
    here: Any = spec
    schema = SPEC_SCHEMA
    for step in where:
        if isinstance(here, str) or (isinstance(here, dict) and step not in here):
            break
        parent, key, here, schema = here, step, here[step], part_of(schema, step)
    if isinstance(here, dict) and "properties" in schema and (here or parent is None) and random.random() < _MOSTLY:
        _change_a_field(here, schema, said, random)
    elif parent is None:
        here.pop(random.choice(sorted(here)))
    else:
        for _ in range(_REDRAWS):
            parent[key] = value(schema, random)
            if not any(each[: len(where)] == where for each, _ in explained(spec)):
                return spec
        del parent[key]
    return {**PLAIN, **spec}


def _change_a_field(here: Spec, schema: Schema, said: str, random: Random) -> None:
    """Of an object that is wrong as a whole: draws a field that the complaint names, or takes one away."""
    named = [name for name in schema["properties"] if re.search(rf"\b{name}\b", said)]
    if named and random.random() < _MOSTLY:
        name = random.choice(named)
        here[name] = value(schema["properties"][name], random)
    elif here:
        here.pop(random.choice([name for name in named if name in here] or sorted(here)))


# All places but the whole and those in maps.
FIELDS = tuple(each for each in fields(SPEC_SCHEMA) if each[0] and "*" not in each[0])
# What the rules between the fields of an object say.
RULES = tuple(
    dict.fromkeys(
        rule["message"]
        for _, schema in fields(SPEC_SCHEMA)
        if "properties" in schema
        for rule in schema.get("x-kubernetes-validations", ())
    )
)
