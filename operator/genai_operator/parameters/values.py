"""Values as Triton's configuration writes them, which is always as text, in the form that a GenAIModel has."""

import re
from collections.abc import Mapping

from genai_operator.parameters.row import Already, Reader

# More digits than 64 bits have; Python refuses to read thousands.
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
# What a size_t holds, and from where on it means "no limit".
_NO_LIMIT = 2**63


def flag(text: str) -> bool:
    """`1`, `true`, `0`, `false` in any case."""
    word = text.strip().lower()
    if word not in ("0", "1", "true", "false"):
        raise ValueError("is none of 0, 1, true and false")
    return word in ("1", "true")


def whole(text: str) -> int:
    """A whole number."""
    if _WHOLE.fullmatch(text.strip()) is None:
        raise ValueError("is not a whole number")
    return int(text)


def threads(text: str) -> int | str:
    """0 is auto."""
    return whole(text) or "auto"


def threads_or_own_choice(text: str) -> int:
    """0 is what an absent field is."""
    count = whole(text)
    if count == 0:
        raise Already("0 leaves the number to ONNX Runtime, as an absent field does")
    return count


def memory(text: str) -> str:
    """Bytes, as a quantity."""
    size = whole(text)
    if size >= _NO_LIMIT:
        raise Already("a limit that large is none, as an absent field is")
    return str(size)


def one_of(words: Mapping[str, object]) -> Reader:
    """Each word in its translation."""

    def read(text: str) -> object:
        if text not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return words[text]

    return read


def precision(text: str) -> str:
    """FP32 is what an absent field is: the model's own."""
    if text == "FP32":
        raise Already("the model's own precision is kept")
    return str(one_of({"FP16": "fp16", "BF16": "bf16", "INT8": "int8"})(text))


def shrinkage(text: str) -> str:
    """Devices, `cpu:0;gpu:0`, as a switch."""
    devices = [each.strip().partition(":")[0] for each in text.split(";") if each.strip()]
    if not devices or not set(devices) <= {"cpu", "gpu"}:
        raise ValueError("is no list of devices such as cpu:0;gpu:0")
    if "cpu" not in devices:
        raise ValueError("the arena of a GPU is not shrunk")
    return "1"
