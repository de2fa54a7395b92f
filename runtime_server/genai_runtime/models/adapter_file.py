"""Which weights a LoRA adapter's file replaces, read without ONNX Runtime. Its values are ONNX Runtime's to check.

The file is a flatbuffer: a table is a place that holds, as a signed distance backwards, where its list of fields is; a
field that is there holds its value, or the distance to it. All numbers are little-endian.
"""

import mmap
import struct
from pathlib import Path

SUFFIX = ".onnx_adapter"
_IDENTIFIER = b"TORT"
_PARAMETERS = 3  # which field of the file's table
_NAME = 0  # which field of a parameter's table
_MOST_PARAMETERS = 100_000
_LONGEST_NAME = 1024


class NotAnAdapter(Exception):
    """The file is no LoRA adapter of ONNX Runtime, or is cut off; the message follows a name."""


def replaced_weights(path: Path) -> set[str]:
    """The names of the graph's weights that it has values for. Raises `NotAnAdapter`, or OSError."""
    if path.stat().st_size < 8:
        raise NotAnAdapter("is no LoRA adapter: it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] != _IDENTIFIER:
            raise NotAnAdapter("is no LoRA adapter as onnxruntime.AdapterFormat writes them")
        try:
            return _names(data)
        except (struct.error, IndexError, ValueError):
            raise NotAnAdapter("is a LoRA adapter that is damaged or cut off") from None


def _names(data: mmap.mmap) -> set[str]:
    vector = _field(data, _number(data, 0), _PARAMETERS)
    if vector is None:
        return set()
    start = vector + _number(data, vector)
    count = _number(data, start)
    if count > _MOST_PARAMETERS:
        raise ValueError(f"it has {count} parameters")
    places = (start + 4 + 4 * number for number in range(count))
    return {_text(data, _field(data, place + _number(data, place), _NAME)) for place in places}


def _field(data: mmap.mmap, table: int, number: int) -> int | None:
    """Where the value of a table's field is; None where the table has none."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    if fields < 0:
        raise ValueError("a table's fields are before the file")
    (size,) = struct.unpack_from("<H", data, fields)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", data, fields + 4 + 2 * number)
    return table + offset if offset else None


def _text(data: mmap.mmap, place: int | None) -> str:
    if place is None:
        raise ValueError("a parameter has no name")
    start = place + _number(data, place)
    length = _number(data, start)
    if length > _LONGEST_NAME or start + 4 + length > len(data):
        raise ValueError(f"a name has {length} bytes")
    return data[start + 4 : start + 4 + length].decode()


def _number(data: mmap.mmap, at: int) -> int:
    (found,) = struct.unpack_from("<I", data, at)
    return int(found)
