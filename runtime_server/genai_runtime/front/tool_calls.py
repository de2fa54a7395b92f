"""Reads tool calls out of a model's answer while it is generated: what is content, what is a call, what its arguments.

Two forms are known: Hermes's and Qwen's JSON between `<tool_call>` marks, and Llama 3's bare JSON. The same parts come
out however the text is cut into chunks. How a template shows tools to the model is `chat.py`.
"""

import json
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

_OPEN, _CLOSE, _PYTHON_TAG = "<tool_call>", "</tool_call>", "<|python_tag|>"
# A call up to the first character of its arguments, as nearly all models write it; others wait for the call's end.
_HEAD = re.compile(
    r'\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"((?:[^"\\]|\\.)*)"\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)


class ToolFormat(StrEnum):
    """How a model writes its calls."""

    MARKED = "marked"
    BARE = "bare"

    @classmethod
    def of_template(cls, source: str) -> "ToolFormat | None":
        """From the template that taught the model; None for a form that is not known here."""
        if _OPEN in source:
            return cls.MARKED
        return cls.BARE if '"parameters"' in source or "python_tag" in source else None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The call `index` of an answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of a call's arguments, as JSON text."""

    index: int
    text: str


Part: TypeAlias = str | CallStarted | Arguments


@dataclass(slots=True)
class _Nesting:
    """How deep the end of a JSON text is, character by character."""

    depth: int = 0
    in_string: bool = False
    escaped: bool = False

    def end_of(self, text: str, start: int) -> int | None:
        """The index behind the character that closes the outermost bracket; None while it stays open."""
        for index in range(start, len(text)):
            self._take(text[index])
            if self.depth == 0 and not self.in_string and text[index] in "}]":
                return index + 1
        return None

    def _take(self, character: str) -> None:
        if self.in_string:
            if self.escaped:
                self.escaped = False
            elif character == "\\":
                self.escaped = True
            elif character == '"':
                self.in_string = False
        elif character == '"':
            self.in_string = True
        elif character in "{[":
            self.depth += 1
        elif character in "}]":
            self.depth -= 1


@dataclass(slots=True)
class ToolCallReader:
    """One answer's. `names` are the tools of the request: bare JSON is a call only if it names one."""

    format: ToolFormat
    names: Collection[str]
    calls: int = 0
    _text: str = ""  # not decided yet
    _state: str = "content"  # content, head, arguments, tail, plain
    _nesting: _Nesting = field(default_factory=_Nesting)
    _seen: int = 0  # characters of `_text` that the nesting has taken

    def push(self, text: str) -> list[Part]:
        """What `text` completes."""
        self._text += text
        parts: list[Part] = []
        while (found := self._advance()) is not None:
            parts += found
        return _joined(parts)

    def flush(self) -> list[Part]:
        """The rest at the end of the answer; a call that was cut off stays what it is, unfinished."""
        parts = self.push("")
        if self._state in ("content", "plain", "head") and self._text:
            head = _OPEN if self._state == "head" and self.format is ToolFormat.MARKED else ""
            parts.append(head + self._text)
        self._text = ""
        return _joined(parts)

    def _advance(self) -> list[Part] | None:
        """One step; None when more text is needed."""
        match self._state:
            case "content":
                return self._content()
            case "head":
                return self._head()
            case "arguments":
                return self._arguments()
            case "tail":
                return self._tail()
        return self._take(len(self._text)) if self._text else None

    def _content(self) -> list[Part] | None:
        if self.format is ToolFormat.BARE:
            return self._bare_content()
        mark = self._text.find(_OPEN)
        if mark >= 0:
            before = self._text[:mark].rstrip()
            self._text = self._text[mark + len(_OPEN) :]
            self._begin("head")
            return [before] if before else []
        ready = _undecided_from(self._text, _OPEN)
        return self._take(ready) if ready else None

    def _bare_content(self) -> list[Part] | None:
        """Calls alone, or text alone."""
        text = self._text.lstrip()
        if _PYTHON_TAG.startswith(text[: len(_PYTHON_TAG)]) and len(text) < len(_PYTHON_TAG):
            return None
        text = text.removeprefix(_PYTHON_TAG).lstrip()
        if not text:
            return None
        if text.startswith("{"):
            self._text = text
            self._begin("head")
        else:
            self._state = "plain"
        return []

    def _head(self) -> list[Part] | None:
        match = _HEAD.match(self._text)
        if match is not None:
            name = _unquoted(match[1])
            if self.format is ToolFormat.MARKED or name in self.names:
                self._text = self._text[match.end() :]
                self._begin("arguments")
                return [self._start(name)]
        end = self._nesting.end_of(self._text, self._seen)
        self._seen = len(self._text)
        if self.format is ToolFormat.MARKED and end is None and _CLOSE in self._text:
            end = self._text.index(_CLOSE)
        if end is None:
            return None
        return self._whole(self._text[:end], end)

    def _whole(self, source: str, end: int) -> list[Part]:
        """A call in another order, or something that is none."""
        name, arguments = _parsed(source)
        if name is None or (self.format is ToolFormat.BARE and name not in self.names):
            if self.format is ToolFormat.BARE:
                self._state = "plain"
                return []
            self._text = self._text[end:].removeprefix(_CLOSE)
            self._begin("content")
            return [f"{_OPEN}{source}{_CLOSE}"]
        self._text = self._text[end:]
        self._begin("tail")
        started = self._start(name)
        return [started, Arguments(started.index, arguments)]

    def _arguments(self) -> list[Part] | None:
        if not self._text:
            return None
        end = self._nesting.end_of(self._text, 0)
        ready = self._text[:end]
        self._text = "" if end is None else self._text[end:]
        if end is not None:
            self._begin("tail")
        return [Arguments(self.calls - 1, ready)]

    def _tail(self) -> list[Part] | None:
        """From the arguments' end to the next call."""
        if self.format is ToolFormat.MARKED:
            mark = self._text.find(_CLOSE)
            if mark < 0:
                self._text = self._text[-len(_CLOSE) :]
                return None
            self._text = self._text[mark + len(_CLOSE) :].lstrip()
            self._begin("content")
            return []
        self._text = self._text.lstrip(" \t\r\n;,}")
        if not self._text:
            return None
        self._begin("head" if self._text.startswith("{") else "plain")
        return []

    def _start(self, name: str) -> CallStarted:
        self.calls += 1
        return CallStarted(self.calls - 1, f"call_{secrets.token_hex(12)}", name)

    def _begin(self, state: str) -> None:
        self._state, self._nesting, self._seen = state, _Nesting(), 0

    def _take(self, length: int) -> list[Part]:
        taken, self._text = self._text[:length], self._text[length:]
        return [taken]


def _undecided_from(text: str, mark: str) -> int:
    """Where `text` may be the beginning of a mark, the white space before it counted."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return len(text[:-length].rstrip())
    return len(text.rstrip())


def _unquoted(inside: str) -> str:
    try:
        return str(json.loads(f'"{inside}"'))
    except ValueError:
        return inside


def _parsed(source: str) -> tuple[str | None, str]:
    """(name, arguments as JSON) of a whole call; no name if it is none."""
    try:
        call: Any = json.loads(source)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None, ""
    arguments = call.get("arguments", call.get("parameters", {}))
    return call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _joined(parts: list[Part]) -> list[Part]:
    """Neighbours of one kind as one."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        elif isinstance(part, Arguments) and isinstance(last, Arguments) and part.index == last.index:
            joined[-1] = Arguments(part.index, last.text + part.text)
        else:
            joined.append(part)
    return joined
