"""Text to token ids and back, by the model's own `tokenizer.json`.

GenAI's tokenizer cuts text at the first NUL and drops bytes while streaming, so the server uses Hugging Face's.
Chat templates are `chat.py`; which ids a request may hold is `validation.py`.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from genai_runtime.errors import ModelUnusable

# A character has at most four bytes, so tokens of single bytes complete it within four.
_LONGEST_CHARACTER = 4
_REPLACEMENT = "\ufffd"
# Of the prompt, decoded before the first generated ids.
_CONTEXT_TOKENS = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a rendered conversation. Special tokens are honoured only where they come from the template."""

    text: str
    from_template: bool


class TextTokenizer:
    """The tokenizer of one model folder. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = {token.content: (id_, token) for id_, token in added.items() if token.special}
        ordered = sorted(self._special, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self.longest_token = max((len(token) for token in tokenizer.get_vocab()), default=1)

    @classmethod
    def from_folder(cls, folder: Path) -> "TextTokenizer":
        """Raises `ModelUnusable` when the folder's tokenizer.json is missing or damaged."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelUnusable("ModelInvalid", f"{path} is missing: the model folder needs the tokenizer of its model")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelUnusable("ModelInvalid", f"{path} cannot be read: {error}") from error

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of `text`, special tokens in it honoured; `add_special_tokens` adds what the model starts texts with."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_pieces(self, pieces: list[Piece]) -> list[int]:
        """Ids of a rendered conversation, in which a special token's name inside content stays plain text."""
        ids: list[int] = []
        run = ""
        trim_next = False
        for text, special in self._split(pieces):
            if special is None:
                run += text.lstrip() if trim_next and not run else text
                continue
            id_, token = self._special[special]
            ids += self._encode_plain(run.rstrip() if token.lstrip else run)
            ids.append(id_)
            run, trim_next = "", bool(token.rstrip)
        return ids + self._encode_plain(run)

    def names_special_token(self, text: str) -> bool:
        """Whether `text` spells one of the special tokens."""
        return self._special_pattern is not None and self._special_pattern.search(text) is not None

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _split(self, pieces: list[Piece]) -> list[tuple[str, str | None]]:
        """Plain texts as (text, None) and the template's special tokens as ("", token)."""
        parts: list[tuple[str, str | None]] = []
        for piece in pieces:
            position = 0
            if piece.from_template and self._special_pattern is not None:
                for match in self._special_pattern.finditer(piece.text):
                    parts += [(piece.text[position : match.start()], None), ("", match.group())]
                    position = match.end()
            parts.append((piece.text[position:], None))
        return [(text, special) for text, special in parts if text or special]

    def _encode_plain(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids) if text else []

    @cached_property
    def _plain(self) -> Tokenizer:
        """A second tokenizer that reads special tokens as text; made when first needed: a vocabulary is large."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain


class Detokenizer:
    """Turns one stream of ids into text, whole characters only; what is left comes out of `flush`.

    A few ids before the pending ones are decoded with them, because decoders treat the start of a text specially.
    """

    def __init__(self, tokenizer: TextTokenizer, prompt: list[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = prompt[-_CONTEXT_TOKENS:]
        if tokenizer.decode(self._ids).endswith(_REPLACEMENT):
            self._ids = []
        self._given = len(self._ids)  # the text of the ids before this one has been given out

    def push(self, ids: list[int]) -> str:
        """The text that `ids` complete; empty while a character is incomplete."""
        self._ids += ids
        text = self._pending_text()
        if not text.endswith(_REPLACEMENT):
            self._advance(len(self._ids))
            return text
        if len(self._ids) - self._given <= _LONGEST_CHARACTER:
            return ""
        return self._give_out_garbage(text)

    def flush(self) -> str:
        """The rest at the end of a stream, with U+FFFD for a character that never became complete."""
        text = self._pending_text()
        self._advance(len(self._ids))
        return text

    def _pending_text(self, end: int | None = None) -> str:
        before = self._tokenizer.decode(self._ids[: self._given])
        return self._tokenizer.decode(self._ids[:end])[len(before) :]

    def _give_out_garbage(self, pending: str) -> str:
        """Too many ids for one incomplete character: give out what cannot become one, keep what still can."""
        last = len(self._ids) - 1
        for end in range(last, max(self._given, last - _LONGEST_CHARACTER), -1):
            head = self._pending_text(end)
            if head + self._tokenizer.decode(self._ids[end:]) == pending:
                self._advance(end)
                return head
        return self.flush()

    def _advance(self, end: int) -> None:
        if end > self._given:
            del self._ids[: self._given]
            self._given = end - self._given
