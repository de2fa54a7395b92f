"""Renders a conversation with the model's own chat template, by the conventions of Hugging Face's tokenizers.

The template comes with the model and is code: it runs in jinja2's sandbox. Content comes from users: a special token's
name in it stays plain text (`render` marks which parts are whose). Encoding is `tokenizer.py`.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from genai_runtime.errors import InvalidRequest, ModelUnusable
from genai_runtime.front.tokenizer import Piece, TextTokenizer

ROLES = ("system", "user", "assistant")
_TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


class ChatTemplate:
    """The compiled template of one model folder."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """Raises `ModelUnusable` when the template does not compile."""
        try:
            self._template: Template = _environment().from_string(source)
        except TemplateError as error:
            raise ModelUnusable("ModelInvalid", f"the model's chat template does not compile: {error}") from error
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

    def encode(self, messages: Sequence[Message], tokenizer: TextTokenizer) -> list[int]:
        """Ids of the conversation, ending where the assistant's answer begins. Raises `InvalidRequest`."""
        if not any(tokenizer.names_special_token(message.content) for message in messages):
            return tokenizer.encode(self._render(messages), add_special_tokens=False)
        return tokenizer.encode_pieces(self.render_pieces(messages))

    def render_pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The rendering, divided into what the template wrote and what came from the messages' content."""
        marks = {f"content{secrets.token_hex(16)}": message.content.strip() for message in messages}
        hidden = [
            Message(message.role, message.content.replace(content, mark, 1) if content else message.content)
            for message, (mark, content) in zip(messages, marks.items(), strict=True)
        ]
        pieces = [Piece(self._render(hidden), from_template=True)]
        for mark, content in marks.items():
            pieces = [part for piece in pieces for part in _replace(piece, mark, content)]
        return [piece for piece in pieces if piece.text]

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._special_tokens)
        except _TemplateRefusal as error:
            raise InvalidRequest("messages", f"the model's chat template refuses them: {error}") from error
        except Exception as error:  # a template may fail in any way, at any place
            raise InvalidRequest("messages", f"the model's chat template failed on them: {error}") from error


class _TemplateRefusal(Exception):
    """The template called raise_exception."""


def _environment() -> ImmutableSandboxedEnvironment:
    extensions: list[str | type[Extension]] = [loopcontrols]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    """Unlike jinja2's own filter, escapes nothing for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: object) -> NoReturn:
    raise _TemplateRefusal(str(message))


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _replace(piece: Piece, mark: str, content: str) -> list[Piece]:
    """A template may repeat a content, or leave it out."""
    if not piece.from_template or mark not in piece.text:
        return [piece]
    parts = piece.text.split(mark)
    pieces = [Piece(parts[0], from_template=True)]
    for part in parts[1:]:
        pieces += [Piece(content, from_template=False), Piece(part, from_template=True)]
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
