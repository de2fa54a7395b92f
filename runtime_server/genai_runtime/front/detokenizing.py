"""Turns one stream of token ids into text, whole characters only, as fast as tokens come.

The concatenation of what a detokenizer gives out is what decoding all the ids at once would have given.
"""

from codecs import utf_8_decode
from typing import Protocol

from genai_runtime.front.tokenizer import TextTokenizer, TokenBytes

# A character has at most four bytes, so tokens of single bytes complete it within four.
_LONGEST_CHARACTER = 4
_REPLACEMENT = "\ufffd"
# Of the prompt, decoded before the first generated ids.
_CONTEXT_TOKENS = 6


class Detokenizer(Protocol):
    """For one answer."""

    def push(self, ids: list[int]) -> str:
        """The text that `ids` complete; empty while a character is incomplete."""
        ...

    def flush(self) -> str:
        """The rest at the end of a stream, with U+FFFD for a character that never became complete."""
        ...


def make_detokenizer(tokenizer: TextTokenizer, prompt: list[int]) -> Detokenizer:
    """For the answer to `prompt`."""
    if tokenizer.token_bytes is not None:
        return ByteDetokenizer(tokenizer.token_bytes)
    return DecodingDetokenizer(tokenizer, prompt)


class ByteDetokenizer:
    """For byte-level vocabularies (GPT-2's kind, most of today's): an id is bytes, whatever stands before it."""

    __slots__ = ("_bytes", "_rest")

    def __init__(self, token_bytes: TokenBytes) -> None:
        self._bytes = token_bytes
        self._rest = b""  # of a character that is incomplete

    def push(self, ids: list[int]) -> str:
        """See `Detokenizer`."""
        data = self._rest + b"".join(map(self._bytes.__getitem__, ids))
        text, used = utf_8_decode(data, "replace", False)
        self._rest = data[used:]
        return text

    def flush(self) -> str:
        """See `Detokenizer`."""
        data, self._rest = self._rest, b""
        return data.decode(errors="replace")


class DecodingDetokenizer:
    """For every other tokenizer, by its own decoder.

    A few ids before the pending ones are decoded with them, because decoders treat the start of a text specially.
    """

    def __init__(self, tokenizer: TextTokenizer, prompt: list[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = [id_ for id_ in prompt[-_CONTEXT_TOKENS:] if not tokenizer.has_no_text(id_)]
        if tokenizer.decode(self._ids).endswith(_REPLACEMENT):
            self._ids = []
        self._given = len(self._ids)  # the text of the ids before this one has been given out

    def push(self, ids: list[int]) -> str:
        """See `Detokenizer`. One id after the other: an unfinished character spoils the finished ones before it."""
        return "".join([self._push(id_) for id_ in ids])

    def _push(self, id_: int) -> str:
        if self._tokenizer.has_no_text(id_):  # as context it would make what follows the start of a text
            return ""
        self._ids.append(id_)
        text = self._pending_text()
        if not text.endswith(_REPLACEMENT):
            self._advance(len(self._ids))
            return text
        if len(self._ids) - self._given <= _LONGEST_CHARACTER:
            return ""
        return self._give_out_garbage(text)

    def flush(self) -> str:
        """See `Detokenizer`."""
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
