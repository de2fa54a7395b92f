"""A draft as YAML text: the notes as comments before it, where each value comes from beside it. Nothing is decided."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from genai_operator.constants import API_VERSION, KIND
from genai_operator.convert.draft import Draft, NoteKind

_WIDTH = 118


def comment(text: str, indent: str = "") -> list[str]:
    """The text as lines of comment; what follows the first line is set in."""
    # YAML knows more line ends than Python's textwrap, and a file's name may hold any of them.
    printable = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    lines = textwrap.wrap(printable, _WIDTH - 2 - len(indent), break_long_words=False, break_on_hyphens=False) or [""]
    return [f"# {indent}{lines[0]}", *(f"# {indent}  {line}" for line in lines[1:])]


def document(name: str, origin: str, draft: Draft) -> str:
    """One YAML document without separator; `origin` is what it was made from."""
    lines = comment(f"Made from {origin} by genai-operator convert.")
    for kind in NoteKind:
        notes = [note for note in draft.notes if note.kind is kind]
        if notes:
            lines.append(f"# {kind.value}:")
            for note in notes:
                lines += comment(f"{note.origin}: {note.words}", indent="  ")
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": draft.spec}
    comments = {f"spec.{field}": ", ".join(origins) for field, origins in draft.origins.items()}
    return "\n".join([*lines, *_lines(body, comments, "", "")]) + "\n"


def _lines(part: Mapping[str, Any], comments: Mapping[str, str], prefix: str, indent: str) -> Iterator[str]:
    for key, value in part.items():
        path = f"{prefix}{key}"
        beside = f"  # {comments[path]}" if path in comments else ""
        if isinstance(value, Mapping) and value and not beside:
            yield f"{indent}{key}:"
            yield from _lines(value, comments, f"{path}.", f"{indent}  ")
        else:
            yield f"{indent}{key}: {_scalar(value)}{beside}"


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
