"""The protobuf wire format, as far as looking into ONNX files and changing them needs it.

Only bytes: what the fields mean is `external_data.py`'s and `onnx_graph.py`'s. No protobuf classes, so that a file with
gigabytes of weights inside can be mapped and walked without a copy, and what is not understood is kept byte for byte.
"""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Buffer = bytes | mmap.mmap

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class NotOnnx(Exception):
    """The file is not an ONNX model, or is cut off."""


class Field(NamedTuple):
    """One field of a message: from `tag` to `end`, its content from `start` on."""

    number: int
    wire: int
    tag: int
    start: int
    end: int


def fields(data: Buffer, at: int, end: int) -> Iterator[Field]:
    """The fields between `at` and `end`. Raises ValueError where they do not make a message."""
    while at < end:
        tag = at
        key, at = varint(data, at, end)
        wire, start = key & 7, at
        if wire == BYTES:
            length, start = varint(data, at, end)
            at = start + length
        elif wire == VARINT:
            _, at = varint(data, at, end)
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire} at byte {tag}")
        if at > end:
            raise ValueError(f"a field at byte {tag} ends behind its message")
        yield Field(key >> 3, wire, tag, start, at)


def varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError(f"a number at byte {at} is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number at byte {at} is too long")


def signed(value: int) -> int:
    """An int64 from what `varint` read."""
    return value - (1 << 64) if value >= 1 << 63 else value


def number_field(number: int, value: int) -> bytes:
    """A varint field."""
    return _varint_bytes(number << 3 | VARINT) + _varint_bytes(value & (1 << 64) - 1)


def bytes_field(number: int, content: bytes | str) -> bytes:
    """A length-delimited field: a text, or a message."""
    raw = content.encode() if isinstance(content, str) else content
    return field_head(number, len(raw)) + raw


def field_head(number: int, length: int) -> bytes:
    """What comes before `length` bytes of a length-delimited field."""
    return _varint_bytes(number << 3 | BYTES) + _varint_bytes(length)


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
