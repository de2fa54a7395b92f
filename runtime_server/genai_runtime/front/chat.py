"""Renders a conversation with the model's own chat template, by the conventions of Hugging Face's tokenizers.

Content, tools and arguments come from users: a special token's name in them stays plain text, while the template's own
are honoured. Where templates run is `template_sandbox.py`, encoding is `tokenizer.py`, reading tool calls out of an
answer is `tool_calls.py`.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genai_runtime.errors import InvalidRequest, ModelUnusable
from genai_runtime.front.template_sandbox import Budget, SandboxedTemplate, TemplateLimit, TemplateRefusal
from genai_runtime.front.tokenizer import Piece, TextTokenizer

ROLES = ("system", "user", "assistant", "tool")
_TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
# What a template gets from us; a request's own arguments cannot stand for these.
_OWN = frozenset({"messages", "tools", "add_generation_prompt", *_TOKEN_NAMES})
# On the event loop, where others wait; and in a thread, once that was not enough.
_QUICK = Budget(steps=5_000, seconds=0.01)
_FULL = Budget(steps=500_000, seconds=2.0)
_INLINE_CHARACTERS = 4096
_DEEPEST = 64  # of JSON in tools, tool calls and arguments


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `tool_calls` are OpenAI's objects, arguments as JSON values rather than text."""

    role: str
    content: str
    name: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that a template renders: the turns, the tools the model may call, and arguments of the template's own."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Characters, roughly."""
        turns = sum(len(message.content) + 16 for message in self.messages)
        extras = [*self.tools, *(call for message in self.messages for call in message.tool_calls)]
        return turns + sum(map(_length, [*extras, self.arguments]))


class ChatTemplate:
    """The compiled template of one model folder. Safe to use from several threads."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """Raises `ModelUnusable` when the template does not compile."""
        self.source = source
        self._template = SandboxedTemplate(source)
        self._special_tokens = special_tokens

    @classmethod
    def from_folder(cls, folder: Path) -> "ChatTemplate | None":
        """chat_template.jinja, else tokenizer_config.json's; None when the model has none. Raises `ModelUnusable`."""
        config = _read_config(folder / "tokenizer_config.json")
        file = folder / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else _default_template(config.get("chat_template"))
        if source is None:
            return None
        tokens = {name: text for name in _TOKEN_NAMES if (text := _token_text(config.get(name))) is not None}
        return cls(source, tokens)

    @property
    def knows_tools(self) -> bool:
        """Whether tools make a difference to the rendering."""
        return "tools" in self._template.variables

    @property
    def arguments(self) -> list[str]:
        """Names that a request may set for the template."""
        return sorted(self._template.variables - _OWN)

    async def encode_soon(self, conversation: Conversation, tokenizer: TextTokenizer) -> list[int]:
        """As `encode`, without holding up the event loop: what is not done quickly goes on in a thread."""
        if conversation.length <= _INLINE_CHARACTERS:
            try:
                return self._encode(conversation, tokenizer, _QUICK)
            except TemplateLimit:
                pass
        return await asyncio.to_thread(self.encode, conversation, tokenizer)

    def encode(self, conversation: Conversation, tokenizer: TextTokenizer) -> list[int]:
        """Ids of the conversation, ending where the assistant's answer begins. Raises `InvalidRequest`."""
        try:
            return self._encode(conversation, tokenizer, _FULL)
        except TemplateLimit as error:
            raise InvalidRequest("messages", f"the model's chat template goes beyond its limits: {error}") from error

    def _encode(self, conversation: Conversation, tokenizer: TextTokenizer, budget: Budget) -> list[int]:
        pieces = self.render(conversation, budget, tokenizer.replace_special_tokens)
        if len(pieces) == 1:
            return tokenizer.encode(pieces[0].text, add_special_tokens=False)
        return tokenizer.encode_pieces(pieces)

    def render(
        self,
        conversation: Conversation,
        budget: Budget = _FULL,
        replace: Callable[[str, Callable[[str], str]], str] | None = None,
    ) -> list[Piece]:
        """The rendering, divided into what may hold special tokens and users' words that only look like one.

        `replace(text, mark)` gives `text` with `mark(token)` for each special token; without it all is one piece.
        Raises `InvalidRequest` and `TemplateLimit`.
        """
        marks = _Marks()
        self._check_arguments(conversation)
        try:
            variables = self._variables(conversation, lambda text: replace(text, marks.of) if replace else text)
            rendered = self._template.render(variables, budget)
        except (InvalidRequest, TemplateLimit):
            raise
        except TemplateRefusal as error:
            raise InvalidRequest("messages", f"the model's chat template refuses them: {error}") from error
        except Exception as error:  # a template may fail in any way, at any place
            raise InvalidRequest("messages", f"the model's chat template failed on them: {error}") from error
        return marks.split(rendered)

    def _variables(self, conversation: Conversation, hide: Callable[[str], str]) -> dict[str, Any]:
        turns = [
            _map_strings(_turn(message), hide, f"messages[{number}]")
            for number, message in enumerate(conversation.messages)
        ]
        return {
            **_map_strings(dict(conversation.arguments), hide, "template_arguments"),
            **self._special_tokens,
            "messages": turns,
            "tools": _map_strings(list(conversation.tools), hide, "tools") or None,
            "add_generation_prompt": True,
        }

    def _check_arguments(self, conversation: Conversation) -> None:
        if conversation.tools and not self.knows_tools:
            raise InvalidRequest("tools", "cannot be used: this model's chat template does not know tools")
        unknown = next((name for name in conversation.arguments if name not in self.arguments), None)
        if unknown is not None:
            offered = ", ".join(self.arguments) or "none"
            raise InvalidRequest(
                "template_arguments",
                f"sets {unknown[:40]!r}, which this model's chat template does not take ({offered})",
            )


class _Marks:
    """Stand-ins for special tokens in users' words. They are random, so that nobody can write one."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(16)
        self._tokens: dict[str, str] = {}

    def of(self, token: str) -> str:
        """The same for the same token; letters and digits, so that no escaping changes it."""
        mark = f"special{self._secret}x{len(self._tokens)}x"
        found = next((known for known, text in self._tokens.items() if text == token), None)
        self._tokens.setdefault(found or mark, token)
        return found or mark

    def split(self, text: str) -> list[Piece]:
        """One piece of the template's where there are no marks."""
        pieces = [Piece(text, from_template=True)]
        for mark, token in self._tokens.items():
            pieces = [part for piece in pieces for part in _replace(piece, mark, token)]
        return [piece for piece in pieces if piece.text] or pieces[:1]


def _turn(message: Message) -> dict[str, Any]:
    """As templates expect it: keys that say nothing are absent."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        turn["name"] = message.name
    if message.tool_calls:
        turn["tool_calls"] = list(message.tool_calls)
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _map_strings(value: Any, change: Callable[[str], str], field: str, depth: int = 0) -> Any:
    """A copy of JSON data with every string, keys too, changed."""
    if depth > _DEEPEST:
        raise InvalidRequest(field, f"is nested deeper than {_DEEPEST} levels")
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): _map_strings(item, change, field, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_strings(item, change, field, depth + 1) for item in value]
    return value


def _length(value: Any) -> int:
    """Characters of JSON data, roughly; without recursion, for its depth is not known yet."""
    length, rest = 0, [value]
    while rest:
        item = rest.pop()
        length += len(item) if isinstance(item, str) else 4
        if isinstance(item, Mapping):
            rest += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            rest += item
    return length


def _replace(piece: Piece, mark: str, token: str) -> list[Piece]:
    """A template may repeat a content, or leave it out."""
    if not piece.from_template or mark not in piece.text:
        return [piece]
    parts = piece.text.split(mark)
    pieces = [Piece(parts[0], from_template=True)]
    for part in parts[1:]:
        pieces += [Piece(token, from_template=False), Piece(part, from_template=True)]
    return pieces


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelUnusable("ModelInvalid", f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelUnusable("ModelInvalid", f"{path} must be a JSON object")
    return config


def _default_template(found: Any) -> str | None:
    """The template, where the file names several the one called "default"."""
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _token_text(token: Any) -> str | None:
    """A special token is written as a string, or as an object with its text in "content"."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None
