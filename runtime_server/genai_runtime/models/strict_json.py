"""Reading one JSON file of a model folder, as strictly as the strictest of its readers.

Several programs read the same file (ours, GenAI's, the tokenizer library's). What they could disagree about is refused:
duplicate keys, NaN, other encodings. Size, depth and number of values are bounded before anything is made of them.
"""

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from genai_runtime.models.defects import Code, Unusable, shown
from genai_runtime.models.limits import Limits

_LARGEST_NUMBER = 1 << 63


def read_object(path: Path, name: str, limits: Limits, largest: int, *, any_number: bool = True) -> dict[str, Any]:
    """The JSON object in `path`, of at most `largest` bytes; `name` is what messages call it. Raises `Unusable`.

    `any_number`: numbers may be beyond 64 bits, as the "no limit" of many tokenizers is.
    """
    value = _parse(_text(path, name, limits, largest), name, any_number=any_number)
    _check_depth(value, name, limits.json_depth)
    if not isinstance(value, dict):
        raise Unusable(Code.NOT_JSON, f"{name} is not a JSON object")
    return value


def read_bytes(path: Path, name: str, largest: int, too_large: Code = Code.JSON_TOO_LARGE) -> bytes:
    """The content of `path`, if it is at most `largest` bytes. Raises `Unusable`."""
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
    except OSError as error:
        raise Unusable(Code.UNREADABLE, f"{name} cannot be read: {error.strerror}") from None
    if len(raw) > largest:
        raise Unusable(too_large, f"{name} is larger than {largest} bytes")
    return raw


def _text(path: Path, name: str, limits: Limits, largest: int) -> str:
    raw = read_bytes(path, name, largest)
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > limits.json_values:
        raise Unusable(Code.JSON_TOO_LARGE, f"{name} holds more than {limits.json_values} values")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise Unusable(Code.NOT_UTF8, f"{name} begins with a byte order mark")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unusable(Code.NOT_UTF8, f"{name} is not UTF-8 at byte {error.start}") from None


def _parse(text: str, name: str, *, any_number: bool) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=partial(_object, name),
            parse_constant=partial(_no_number, name),
            parse_int=None if any_number else _limited(int, name),
            parse_float=None if any_number else _limited(float, name),
        )
    except RecursionError:
        raise Unusable(Code.JSON_TOO_DEEP, f"{name} is nested too deeply to be read") from None
    except ValueError as error:
        raise Unusable(Code.NOT_JSON, f"{name} is not valid JSON: {error}") from None


def _object(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise Unusable(Code.DUPLICATE_KEY, f"{name} has the key {shown(twice)} twice in one object")
    return found


def _no_number(name: str, text: str) -> NoReturn:
    raise Unusable(Code.NOT_A_NUMBER, f"{name} holds {text}")


def _limited(kind: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text) if len(text) < 400 else float("inf")
        if not -_LARGEST_NUMBER <= value < _LARGEST_NUMBER:
            raise Unusable(Code.NOT_A_NUMBER, f"{name} holds the number {shown(text)}, which is beyond 64 bits")
        return value

    return parse


def _check_depth(value: Any, name: str, deepest: int) -> None:
    level = [value]
    for _ in range(deepest + 1):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise Unusable(Code.JSON_TOO_DEEP, f"{name} is nested deeper than {deepest} levels")
