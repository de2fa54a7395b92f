"""Log-probabilities in OpenAI's two shapes. The numbers come from the engine; here ids get their texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.generation import TokenLogprob

# JSON has no infinity; OpenAI writes this for "practically never".
_NEVER = -9999.0


class TokenTexts(dict[int, tuple[str, list[int]]]):
    """(text, bytes) of each id, found when first asked for; a part of a character has bytes and a stand-in text."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, id_: int) -> tuple[str, list[int]]:
        raw = self._tokenizer.bytes_of(id_)
        found = self[id_] = (raw.decode(errors="replace"), list(raw))
        return found


def chat_entries(logprobs: Sequence[TokenLogprob], texts: TokenTexts) -> list[dict[str, Any]]:
    """`choices[].logprobs.content` of a chat completion."""
    return [
        {**_entry(token.id, token.logprob, texts), "top_logprobs": [_entry(*other, texts) for other in token.top]}
        for token in logprobs
    ]


@dataclass(slots=True)
class CompletionLogprobs:
    """`choices[].logprobs` of a completion; `offset` counts the characters before."""

    texts: TokenTexts
    offset: int = 0
    _tokens: list[str] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _tops: list[dict[str, float]] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)

    def add(self, logprobs: Sequence[TokenLogprob]) -> None:
        """More tokens."""
        for token in logprobs:
            text = self.texts[token.id][0]
            self._tokens.append(text)
            self._values.append(_finite(token.logprob))
            self._tops.append({self.texts[id_][0]: _finite(value) for id_, value in token.top})
            self._offsets.append(self.offset)
            self.offset += len(text)

    def take(self) -> dict[str, Any]:
        """All since the last call."""
        taken = {
            "tokens": self._tokens,
            "token_logprobs": self._values,
            "top_logprobs": self._tops,
            "text_offset": self._offsets,
        }
        self._tokens, self._values, self._tops, self._offsets = [], [], [], []
        return taken


def _entry(id_: int, logprob: float, texts: TokenTexts) -> dict[str, Any]:
    text, raw = texts[id_]
    return {"token": text, "logprob": _finite(logprob), "bytes": raw}


def _finite(value: float) -> float:
    return value if math.isfinite(value) else _NEVER
