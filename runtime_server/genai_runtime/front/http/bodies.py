"""JSON bodies become typed requests, or errors that name the field. What the fields mean is the dialects' business."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json

from genai_runtime.errors import InvalidRequest

# Longer lists are refused before each item is looked at. Token ids have a limit of their own: the model's length.
_MOST_ITEMS = {"messages": 4096, "tools": 128, "stop": 64, "stop_token_ids": 1024, "logit_bias": 4096}
# Fields that change nothing about an answer; clients send them for their own books.
HARMLESS = frozenset(
    {
        *("user", "metadata", "store", "service_tier", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
# Fields that would change an answer, with the values that ask for nothing; any other value is refused.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "suffix": ("",),
    "functions": ([],),
    "function_call": ("none",),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "moderation": (),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "web_search_options": (),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "truncate_prompt_tokens": (),
    "prompt_logprobs": (),
    "add_special_tokens": (True,),
    "chat_template": (),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "documents": ([],),
}
_WORDS = {
    "suffix": "cannot be used: the model continues texts, it does not fill gaps",
    "functions": "is the old name of tools; use tools",
    "function_call": "is the old name of tool_choice; use tool_choice",
    "chat_template": "cannot be used: the template is the model's own",
}


class Body(BaseModel):
    """Base of all requests: no conversions, no unknown fields; null is the same as absent."""

    model_config = ConfigDict(extra="forbid", strict=True)


Kind = TypeVar("Kind", bound=Body)


def parse(kind: type[Kind], body: bytes) -> Kind:
    """Raises `InvalidRequest` that names the field."""
    fields = parse_object(body)
    for name in HARMLESS:
        fields.pop(name, None)
    for name, allowed in NEUTRAL.items():
        if name in fields and name not in kind.model_fields:
            _refuse_unless_neutral(name, fields.pop(name), allowed)
    for name, most in _MOST_ITEMS.items():
        value = fields.get(name)
        if isinstance(value, (list, dict)) and len(value) > most:
            raise InvalidRequest(name, f"has {len(value)} entries; {most} are allowed")
    return validate(kind, fields)


def parse_object(body: bytes) -> dict[str, Any]:
    """The body's JSON object without its nulls. Raises `InvalidRequest`."""
    try:
        found = from_json(body)
    except ValueError as error:
        raise InvalidRequest("body", f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequest("body", "is not a JSON object")
    return {name: value for name, value in found.items() if value is not None}


def validate(kind: type[Kind], fields: Mapping[str, Any]) -> Kind:
    """Raises `InvalidRequest` for the first field that is wrong."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False)[0]
        raise InvalidRequest(_place(detail), _words(detail)) from error


def _refuse_unless_neutral(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise InvalidRequest(name, _WORDS.get(name, "is not supported by this server; leave it out"))


def _place(detail: ErrorDetails) -> str:
    """`messages[0].content`; pydantic's names of a union's members are left out."""
    place = ""
    for part in detail["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "int", "float", "bool"):
            place += f".{part}" if place else part
        elif not place:
            place = part[:80]
    return place or "body"


def _words(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "is not a field that this server knows"
    if detail["type"] == "missing":
        return "is missing"
    value = detail["input"]
    shown = f" (it is {value!r:.60})" if isinstance(value, (int, float, bool)) else ""
    message = detail["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{message}{shown}"
