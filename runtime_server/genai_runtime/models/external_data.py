"""Which other files an ONNX file takes its weights from.

Only that: whether the graph makes sense is ONNX Runtime's to say. The file is mapped, not read: weights may be inside.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.models.onnx_wire import BYTES, NotOnnx, fields

_MAX_DEPTH = 32

# Field numbers of onnx.proto: which fields of a message lead to tensors, and to what kind of message.
_MODEL = {7: "graph"}
_GRAPH = {1: "node", 5: "tensor"}
_NODE = {5: "attribute"}
_ATTRIBUTE = {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"}
_CHILDREN = {"model": _MODEL, "graph": _GRAPH, "node": _NODE, "attribute": _ATTRIBUTE}
_TENSOR_EXTERNAL_DATA = 13


@dataclass(frozen=True, slots=True)
class ExternalData:
    """A file that holds weights. `location` is as written in the model; `end` is the last byte needed, 0 if unknown."""

    location: str
    end: int


def external_data(path: Path) -> list[ExternalData]:
    """The external files of the ONNX file `path`. Raises `NotOnnx`, or OSError."""
    if path.stat().st_size == 0:
        raise NotOnnx("it is empty")
    ends: dict[str, int] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            graphs = 0
            for number, start, end in _fields(data, 0, len(data)):
                if number in _MODEL:
                    graphs += 1
                    _walk(data, (start, end), "graph", 1, ends)
        except (IndexError, UnicodeDecodeError, ValueError) as error:
            raise NotOnnx(f"it is not an ONNX model, or it is cut off ({error})") from None
    if not graphs:
        raise NotOnnx("it is not an ONNX model: there is no graph in it")
    return [ExternalData(location, end) for location, end in ends.items()]


def _walk(data: mmap.mmap, span: tuple[int, int], kind: str, depth: int, ends: dict[str, int]) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs are nested too deeply")
    if kind == "tensor":
        _tensor(data, span, ends)
        return
    for number, start, end in _fields(data, *span):
        child = _CHILDREN[kind].get(number)
        if child is not None:
            _walk(data, (start, end), child, depth + 1, ends)


def _tensor(data: mmap.mmap, span: tuple[int, int], ends: dict[str, int]) -> None:
    entries: dict[str, str] = {}
    for number, start, end in _fields(data, *span):
        if number == _TENSOR_EXTERNAL_DATA:
            pair = {field: data[a:b].decode() for field, a, b in _fields(data, start, end)}
            entries[pair.get(1, "")] = pair.get(2, "")
    if "location" in entries:
        last = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        ends[entries["location"]] = max(last, ends.get(entries["location"], 0))


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each length-delimited field between `at` and `end`; others are passed over."""
    return ((each.number, each.start, each.end) for each in fields(data, at, end) if each.wire == BYTES)
