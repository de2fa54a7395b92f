"""Text to token ids and back, by the model's own `tokenizer.json`.

GenAI's tokenizer cuts text at the first NUL and drops bytes while streaming, so the server uses Hugging Face's.
Chat templates are `chat.py`; which ids a request may hold is `validation.py`; streams of ids are `detokenizing.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer, decoders

from genai_runtime.errors import InvalidRequest, ModelUnusable
from genai_runtime.models.defects import Code, Defect

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a rendered conversation. Special tokens are honoured only where they come from the template."""

    text: str
    from_template: bool


def check_characters(field: str, text: str) -> None:
    """Raises `InvalidRequest` for a lone surrogate, which JSON can write and no encoding can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            field, f"has half a character (a lone surrogate, U+{ord(text[error.start]):04X}) at {error.start}"
        ) from error


class TextTokenizer:
    """The tokenizer of one model folder. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = {token.content: (id_, token) for id_, token in added.items() if token.special}
        self._special_ids = frozenset(id_ for id_, _ in self._special.values())
        ordered = sorted(self._special, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self.longest_token = max((len(token) for token in tokenizer.get_vocab()), default=1)

    @classmethod
    def from_folder(cls, folder: Path) -> "TextTokenizer":
        """Raises `ModelUnusable` when the folder's tokenizer.json is missing or damaged."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise _unusable(Code.FILE_MISSING, f"{path} is missing: the model folder needs the tokenizer of its model")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except BaseException as error:  # tokenizers raises bare Exception, and a panic of its is not even that
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise _unusable(Code.TOKENIZER_INVALID, f"{path} cannot be read: {error}") from error

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of `text`, special tokens in it honoured; `add_special_tokens` adds what the model starts texts with.

        Raises `InvalidRequest` for half a character.
        """
        check_characters("text", text)
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

    def replace_special_tokens(self, text: str, replacement: Callable[[str], str]) -> str:
        """`text` with `replacement(token)` in place of each special token that it spells."""
        if self._special_pattern is None:
            return text
        return self._special_pattern.sub(lambda found: replacement(found.group()), text)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def bytes_of(self, id_: int) -> bytes:
        """One id alone as it looks in a text, special tokens by their names; nothing for an unknown id."""
        token = self._tokenizer.id_to_token(id_) or ""
        if token in self._special:
            return token.encode()
        if self.token_bytes is not None:
            return self.token_bytes[id_]
        byte = _BYTE_TOKEN.fullmatch(token)  # SentencePiece's spellings of bytes and spaces
        return bytes([int(byte[1], 16)]) if byte else token.replace("\u2581", " ").encode()

    def has_no_text(self, id_: int) -> bool:
        """Whether it is a special token, or none at all: such ids leave no trace in a decoded text."""
        return id_ in self._special_ids or self._tokenizer.id_to_token(id_) is None

    @cached_property
    def token_bytes(self) -> "TokenBytes | None":
        """What each id adds to a text, for tokenizers whose ids are bytes whatever stands before them; else None."""
        if not isinstance(self._tokenizer.decoder, decoders.ByteLevel):
            return None
        return TokenBytes(self._tokenizer, self._special_ids)

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
        check_characters("text", text)
        return list(self._plain.encode(text, add_special_tokens=False).ids) if text else []

    @cached_property
    def _plain(self) -> Tokenizer:
        """A second tokenizer that reads special tokens as text; made when first needed: a vocabulary is large."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain


def _unusable(code: Code, what: str) -> ModelUnusable:
    return ModelUnusable("ModelInvalid", Defect(code, what).message)


class TokenBytes(dict[int, bytes]):
    """The bytes of each id of a byte-level tokenizer, found when first asked for; special and unknown ids have none."""

    def __init__(self, tokenizer: Tokenizer, special: frozenset[int]) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._special = special

    def __missing__(self, id_: int) -> bytes:
        token = None if id_ in self._special else self._tokenizer.id_to_token(id_)
        found = self[id_] = b"" if token is None else _bytes_of(token)
        return found


def _byte_characters() -> dict[str, int]:
    """The printable stand-ins that GPT-2's byte-level vocabulary writes its bytes with."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    stand_ins = {chr(byte): byte for byte in printable}
    return {**stand_ins, **{chr(256 + number): byte for number, byte in enumerate(others)}}


_BYTES = _byte_characters()


def _bytes_of(token: str) -> bytes:
    """A token with any other character in it was added as text."""
    try:
        return bytes(_BYTES[character] for character in token)
    except KeyError:
        return token.encode()
