"""What an ONNX file computes, as far as its structure tells: nodes, inputs, outputs, names of the weights.

Read from the wire format, without ONNX Runtime and without reading the weights. Which structures are good for what is
the reader's business. Nodes inside other nodes (branches) are not descended into.
"""

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

from genai_runtime.models.onnx_wire import BYTES, FIXED32, VARINT, Buffer, Field, NotOnnx, fields, signed, varint

# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 1, 5, 11, 12, 13
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 3, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_STRING, ATTRIBUTE_TYPE = 1, 2, 3, 4, 20
TENSOR_DIMS, TENSOR_DATA_TYPE, TENSOR_NAME = 1, 2, 8
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR, TENSOR_TYPE_ELEMENT, TENSOR_TYPE_SHAPE, SHAPE_DIM, DIM_VALUE, DIM_PARAM = 1, 1, 2, 1, 1, 2

ATTRIBUTE_TYPE_INT = 2
FLOAT, INT64, FLOAT16 = 1, 7, 10


@dataclass(frozen=True, slots=True)
class Node:
    """An operation. "" in `inputs` or `outputs` is one that is left out. `at`: its field in the file."""

    op_type: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, int | float | str]
    at: Field


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor: its ONNX element type, and its sizes, the symbolic ones by name ("" if it has none)."""

    name: str
    element_type: int
    shape: tuple[int | str, ...]
    at: Field


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The main graph of a file. `inputs` does not hold weights that may be overridden. `at`: its field in the file."""

    at: Field
    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    initializers: dict[str, Tensor] = field(default_factory=dict)
    value_infos: dict[str, Tensor] = field(default_factory=dict)
    replaceable: set[str] = field(default_factory=set)  # weights that are inputs too: what a LoRA adapter replaces


def read_graph(path: Path) -> OnnxGraph:
    """Look into the file `path`. Raises `NotOnnx`, or OSError."""
    if path.stat().st_size == 0:
        raise NotOnnx("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = [each for each in fields(data, 0, len(data)) if (each.number, each.wire) == (MODEL_GRAPH, BYTES)]
            if len(found) == 1:
                return _graph(data, found[0])
        except (IndexError, UnicodeDecodeError, ValueError, struct.error) as error:
            raise NotOnnx(f"it is not an ONNX model, or it is cut off ({error})") from None
    raise NotOnnx("it is not an ONNX model: there is no graph in it, or more than one")


def _graph(data: Buffer, at: Field) -> OnnxGraph:
    graph = OnnxGraph(at)
    tensors = {
        GRAPH_INPUT: (graph.inputs, _value),
        GRAPH_OUTPUT: (graph.outputs, _value),
        GRAPH_VALUE_INFO: (graph.value_infos, _value),
        GRAPH_INITIALIZER: (graph.initializers, _initializer),
    }
    for each in fields(data, at.start, at.end):
        if each.wire != BYTES:
            continue
        if each.number == GRAPH_NODE:
            graph.nodes.append(_node(data, each))
        elif each.number in tensors:
            into, read = tensors[each.number]
            tensor = read(data, each)
            into[tensor.name] = tensor
    for name in graph.initializers:
        if graph.inputs.pop(name, None) is not None:
            graph.replaceable.add(name)
    return graph


def _node(data: Buffer, at: Field) -> Node:
    texts: dict[int, list[str]] = {NODE_INPUT: [], NODE_OUTPUT: [], NODE_OP_TYPE: [], NODE_DOMAIN: []}
    attributes: dict[str, int | float | str] = {}
    for each in fields(data, at.start, at.end):
        if each.number in texts:
            texts[each.number].append(_text(data, each))
        elif each.number == NODE_ATTRIBUTE:
            _attribute(data, each, attributes)
    return Node(
        op_type="".join(texts[NODE_OP_TYPE]),
        domain="".join(texts[NODE_DOMAIN]),
        inputs=texts[NODE_INPUT],
        outputs=texts[NODE_OUTPUT],
        attributes=attributes,
        at=at,
    )


def _attribute(data: Buffer, at: Field, into: dict[str, int | float | str]) -> None:
    """Numbers and texts only; what else attributes may hold (tensors, graphs, lists) is passed over."""
    name = ""
    value: int | float | str | None = None
    for each in fields(data, at.start, at.end):
        if each.number == ATTRIBUTE_NAME:
            name = _text(data, each)
        elif each.number == ATTRIBUTE_INT and each.wire == VARINT:
            value = signed(varint(data, each.start, each.end)[0])
        elif each.number == ATTRIBUTE_FLOAT and each.wire == FIXED32:
            (value,) = struct.unpack("<f", data[each.start : each.end])
        elif each.number == ATTRIBUTE_STRING and each.wire == BYTES:
            value = data[each.start : each.end].decode(errors="replace")
    if value is not None:
        into[name] = value


def _value(data: Buffer, at: Field) -> Tensor:
    name, element_type = "", 0
    shape: list[int | str] = []
    for each in fields(data, at.start, at.end):
        if each.number == VALUE_NAME:
            name = _text(data, each)
        elif each.number == VALUE_TYPE:
            for kind in _inside(data, each, TYPE_TENSOR):
                for part in fields(data, kind.start, kind.end):
                    if part.number == TENSOR_TYPE_ELEMENT and part.wire == VARINT:
                        element_type = varint(data, part.start, part.end)[0]
                    elif part.number == TENSOR_TYPE_SHAPE:
                        shape = [_dimension(data, size) for size in _inside(data, part, SHAPE_DIM)]
    return Tensor(name, element_type, tuple(shape), at)


def _dimension(data: Buffer, at: Field) -> int | str:
    for each in fields(data, at.start, at.end):
        if each.number == DIM_VALUE and each.wire == VARINT:
            return signed(varint(data, each.start, each.end)[0])
        if each.number == DIM_PARAM and each.wire == BYTES:
            return _text(data, each)
    return ""


def _initializer(data: Buffer, at: Field) -> Tensor:
    name, element_type = "", 0
    shape: list[int | str] = []
    for each in fields(data, at.start, at.end):
        if each.number == TENSOR_NAME:
            name = _text(data, each)
        elif each.number == TENSOR_DATA_TYPE:
            element_type = varint(data, each.start, each.end)[0]
        elif each.number == TENSOR_DIMS:  # one number a field, or all in one
            position = each.start
            while position < each.end:
                size, position = varint(data, position, each.end)
                shape.append(signed(size))
    return Tensor(name, element_type, tuple(shape), at)


def _inside(data: Buffer, at: Field, number: int) -> list[Field]:
    return [each for each in fields(data, at.start, at.end) if (each.number, each.wire) == (number, BYTES)]


def _text(data: Buffer, at: Field) -> str:
    return data[at.start : at.end].decode()
