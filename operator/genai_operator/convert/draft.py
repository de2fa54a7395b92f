"""A GenAIModel's spec in the making, and what did not come into it. What Triton's fields mean is `mapping.py`'s."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from genai_operator.api.genaimodel import explain
from genai_operator.api.spec import GenAIModelSpec

_LONGEST = 200


class NoteKind(StrEnum):
    """The headings in a document's head, in this order."""

    CHECK = "To check"
    LOST = "Not carried over"
    SAME = "Not needed: it is so in any case"


@dataclass(frozen=True, slots=True)
class Note:
    """`origin`: the place in the configuration, and its value where it has one."""

    kind: NoteKind
    origin: str
    words: str


def shown(value: object) -> str:
    """A value as one short line of plain characters, whatever it holds."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


class Draft:
    """Each value is tried on the typed spec as it comes: what the spec refuses is a note with the spec's own words.

    So `spec` is valid at any time.
    """

    def __init__(self, uri: str) -> None:
        """Raises ValidationError when the URI is none."""
        self.spec: dict[str, Any] = {"model": {"uri": uri}}
        self.origins: dict[str, list[str]] = {}
        self.notes: list[Note] = []
        GenAIModelSpec.model_validate(self.spec)

    def carry(self, field: str, value: Any, origin: str, said: object = None) -> bool:
        """Set a field of the spec, `a.b.c`. `origin` is where the value comes from, `said` how it is written there."""
        place = f"{origin}: {shown(said)}" if said is not None else origin
        if field in self.origins and self._value(field) != value:
            self.lose(place, f"{field} is {shown(self._value(field))} by {self.origins[field][0]}")
            return False
        candidate = _with(self.spec, field.split("."), value)
        try:
            GenAIModelSpec.model_validate(candidate)
        except ValidationError as error:
            self.lose(place, explain(error))
            return False
        self.spec = candidate
        self.origins.setdefault(field, []).append(origin)
        return True

    def lose(self, place: str, reason: str) -> None:
        """Something has no home."""
        self.notes.append(Note(NoteKind.LOST, place, reason))

    def same(self, place: str, how: str) -> None:
        """Something needs no home."""
        self.notes.append(Note(NoteKind.SAME, place, how))

    def check(self, place: str, words: str) -> None:
        """Something was assumed, and the user knows better."""
        self.notes.append(Note(NoteKind.CHECK, place, words))

    def _value(self, field: str) -> Any:
        value: Any = self.spec
        for part in field.split("."):
            value = value[part]
        return value


def _with(spec: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(dict(spec))
    inner = changed
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    return changed
