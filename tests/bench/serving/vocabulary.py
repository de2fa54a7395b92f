"""The benchmark model's tokenizer: byte-level BPE over made-up words, the same whenever and wherever it is made.

Its files for a GenAI model folder and its lists for GGUF; what the ids mean to the model is nothing.
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from bench.serving.shape import SPECIAL

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, and the merges (left, right) that make the longer ones."""

    tokens: list[str]
    merges: list[tuple[str, str]]


def vocabulary(size: int) -> Vocabulary:
    """Special tokens, 256 bytes, syllables, and words of two syllables until there are `size`."""
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    vowels = [letter for letter in letters if letter in "aeiou"]
    consonants = [letter for letter in letters if letter not in "aeiou"]
    syllables = [(first, second) for first in consonants for second in vowels]
    words = ((first + second, third + fourth) for first, second in syllables for third, fourth in syllables)
    merges = list(itertools.islice(itertools.chain(syllables, words), size - len(tokens)))
    tokens += [left + right for left, right in merges]
    assert len(tokens) == size == len(set(tokens))
    return Vocabulary(tokens, merges)


def write_tokenizer(folder: Path, size: int, context: int) -> None:
    """The tokenizer's files of a model folder."""
    made = vocabulary(size)
    ids = {token: number for number, token in enumerate(made.tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=made.merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[3],
        "model_max_length": context,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
