"""What can be said of a grammar before it is compiled: its kind, its size, how deep it is nested.

Compiling, with its own limits and time-out, is the engine's business.
"""

import json

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.tokenizer import check_characters
from genai_runtime.generation import Guidance

_FIELD = "options.guidance"
_MAX_BYTES = {"json_schema": 64 * 1024, "lark": 16 * 1024, "regex": 4 * 1024, "json_object": 0}
_MAX_DEPTH = 32
_OPENING, _CLOSING = "([{", ")]}"


def check_guidance(guidance: Guidance | None, most_bytes: int | None = None) -> Guidance | None:
    """The guidance itself. `most_bytes`: the server's own limit, 0 for no guidance at all. Raises `InvalidRequest`."""
    if guidance is None:
        return None
    if most_bytes == 0:
        raise InvalidRequest(_FIELD, "is not taken by this server (generation.guidanceBytesLimit is 0): leave it out")
    kind, source = guidance.kind, guidance.source
    limit = _MAX_BYTES.get(kind)
    if limit is None:
        raise InvalidRequest(_FIELD, f"is of kind {str(kind)[:40]!r}; it must be one of {', '.join(_MAX_BYTES)}")
    check_characters(_FIELD, source)
    size = len(source.encode())
    if most_bytes is not None and size > most_bytes:
        raise InvalidRequest(
            _FIELD,
            f"has a {kind} of {size} bytes; this server takes {most_bytes} at most (generation.guidanceBytesLimit): "
            "make it smaller",
        )
    if size > limit:
        raise InvalidRequest(_FIELD, f"has a {kind} of {size} bytes; {limit} are allowed")
    if kind != "json_object" and not source.strip():
        raise InvalidRequest(_FIELD, f"has an empty {kind}")
    if _depth(source) > _MAX_DEPTH:  # before any parser recurses into it
        raise InvalidRequest(_FIELD, f"has a {kind} nested more than {_MAX_DEPTH} deep")
    if kind == "json_schema":
        _check_schema(source)
    return guidance


def _check_schema(source: str) -> None:
    try:
        schema = json.loads(source)
    except ValueError as error:
        raise InvalidRequest(_FIELD, f"has a json_schema that is not JSON: {error}") from error
    if not isinstance(schema, (dict, bool)):
        raise InvalidRequest(_FIELD, "has a json_schema that is not a JSON object")


def _depth(source: str) -> int:
    """Of brackets, those inside strings counted as well: an upper bound."""
    depth = deepest = 0
    for character in source:
        if character in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in _CLOSING and depth:
            depth -= 1
    return deepest
