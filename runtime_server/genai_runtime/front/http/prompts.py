"""The many forms of a completion's prompt: a text, token ids, or a list of either; each becomes one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genai_runtime.errors import InvalidRequest

MOST_PROMPTS = 128


@dataclass(frozen=True, slots=True)
class Prompt:
    """Exactly one of the two is set."""

    text: str | None = None
    ids: Sequence[int] | None = None


def prompts_of(value: Any, longest: int) -> list[Prompt]:
    """`longest` is the model's length in tokens. Raises `InvalidRequest`."""
    if isinstance(value, str):
        return [Prompt(text=value)]
    if not isinstance(value, list) or not value:
        raise InvalidRequest("prompt", "must be a text, a list of token ids, or a list of either, and not be empty")
    if _is_id(value[0]):
        return [Prompt(ids=_ids(value, "prompt", longest))]
    if len(value) > MOST_PROMPTS:
        raise InvalidRequest("prompt", f"has {len(value)} entries; {MOST_PROMPTS} are allowed")
    return [_one(item, f"prompt[{number}]", longest) for number, item in enumerate(value)]


def _one(item: Any, place: str, longest: int) -> Prompt:
    if isinstance(item, str):
        return Prompt(text=item)
    if not isinstance(item, list):
        raise InvalidRequest(place, "must be a text or a list of token ids")
    return Prompt(ids=_ids(item, place, longest))


def _ids(items: list[Any], place: str, longest: int) -> list[int]:
    if len(items) > longest:
        raise InvalidRequest(place, f"has {len(items)} tokens; the maximum sequence length is {longest} tokens")
    wrong = next((number for number, item in enumerate(items) if not _is_id(item)), None)
    if wrong is not None:
        raise InvalidRequest(f"{place}[{wrong}]", "is not a token id")
    return items


def _is_id(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
