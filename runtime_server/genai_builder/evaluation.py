"""The text that quality is measured on: the user's or the image's own, and its tokens by the model's own tokenizer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from genai_builder.quality import Window, windows
from genai_runtime.errors import InvalidSettings

DEFAULT_TEXT = Path(__file__).with_name("evaluation.txt")
DEFAULT_MAX_TOKENS = 2048
_MOST_BYTES = 16 << 20
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`name`: "default" or the digest's beginning; `max_tokens`: of its beginning, so many count."""

    text: str
    name: str
    max_tokens: int = DEFAULT_MAX_TOKENS

    @property
    def key(self) -> str:
        """What names a measurement on it."""
        return hashlib.sha256(f"{self.max_tokens}\n{self.text}".encode()).hexdigest()

    def windows(self, tokenizer_file: Path, vocabulary_size: int) -> list[Window]:
        """Raises `ValueError` where the tokenizer cannot be used, or the text gives no token to score."""
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises nothing more exact
            raise ValueError(f"the tokenizer cannot be read: {error}") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids = tokenizer.encode(self.text, add_special_tokens=False).ids[: self.max_tokens]
        before = tokenizer.encode("").ids[:1]
        if max([0, *ids, *before]) >= vocabulary_size:
            raise ValueError(f"the tokenizer gives ids beyond the vocabulary of {vocabulary_size}")
        found = list(windows(ids, before))
        if not found:
            raise ValueError(f"the text has {len(ids)} tokens, too few to measure anything")
        return found


def evaluation_of(text: Path | None, max_tokens: int) -> Evaluation:
    """Raises `InvalidSettings` for a file that cannot be read, is no text, or is larger than 16 MiB."""
    if text is None:
        return Evaluation(DEFAULT_TEXT.read_text(encoding="utf-8"), "default", max_tokens)
    try:
        with text.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        content = raw.decode()
    except OSError as error:
        raise InvalidSettings(f"--text {text} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"--text {text} is not UTF-8 at byte {error.start}; give plain text") from None
    if len(raw) > _MOST_BYTES:
        raise InvalidSettings(f"--text {text} is larger than {_MOST_BYTES >> 20} MiB; a few pages are enough")
    if not content.strip():
        raise InvalidSettings(f"--text {text} is empty; give the text to measure on")
    return Evaluation(content, f"sha256:{hashlib.sha256(raw).hexdigest()[:_SHOWN_DIGITS]}", max_tokens)


def write_windows(path: Path, found: list[Window]) -> None:
    """For the processes that measure."""
    path.write_text(json.dumps([[list(each.tokens), each.first] for each in found]), encoding="utf-8")


def read_windows(path: Path) -> list[Window]:
    """What `write_windows` wrote."""
    return [Window(tuple(tokens), first) for tokens, first in json.loads(path.read_text(encoding="utf-8"))]
