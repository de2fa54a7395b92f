"""Whether an ONNX file may be given to ONNX Runtime: the files it names, its tensors' sizes, its operators.

The whole structure is walked once, functions and graphs inside nodes included; weights are passed over. Whether the
graph makes sense is ONNX Runtime's to say, how it is driven `onnx_graph.py`'s readers'.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genai_runtime.models.defects import Code, Findings, Unusable, shown
from genai_runtime.models.limits import Limits, Rules
from genai_runtime.models.onnx_wire import BYTES, VARINT, Field, fields, signed, varint

# Field numbers of onnx.proto: which fields of a message lead to others, and of what kind.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_NODE_INPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_STRING = 1, 3, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_EXTERNAL = 1

# Domains whose operators ONNX Runtime brings along.
_DOMAINS = frozenset(
    {
        *("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training"),
        *("com.microsoft", "com.microsoft.nchwc", "com.microsoft.dml", "com.microsoft.experimental"),
        *("com.ms.internal.nhwc", "org.pytorch.aten"),
    }
)
# Bits of an element, by ONNX's type; texts have none.
_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    15: 128,
}
_DIGITS = 20
# In names that are no files to ONNX Runtime: the offset is an address in the process.
_ADDRESS = "_MEM_ADDR_"


@dataclass(frozen=True, slots=True)
class External:
    """Where a tensor's values lie in another file. `length` None: to its end, or as long as the tensor needs."""

    tensor: str
    location: str
    offset: int
    length: int


@dataclass(slots=True)
class GraphReport:
    """What a file refers to: tensors elsewhere, and other files by name (an execution provider's compiled parts)."""

    external: list[External] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)


def examine_graph(path: Path, name: str, rules: Rules, findings: Findings) -> GraphReport:
    """Walk the file `path`, called `name` in messages. Raises `Unusable` where it cannot be walked."""
    report = GraphReport()
    try:
        if path.stat().st_size == 0:
            raise Unusable(Code.NOT_ONNX, f"{name}: it is empty")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(data, name, rules, findings, report).model()
    except OSError as error:
        raise Unusable(Code.UNREADABLE, f"{name} cannot be read: {error.strerror}") from None
    except (IndexError, UnicodeDecodeError, ValueError, struct.error) as error:
        said = f"{name}: it is not an ONNX model, or it is cut off ({error})"
        raise Unusable(Code.NOT_ONNX, said) from None
    return report


@dataclass(slots=True)
class _Walk:
    data: mmap.mmap
    name: str
    rules: Rules
    findings: Findings
    report: GraphReport
    count: int = 0
    own: set[tuple[str, str]] = field(default_factory=set)  # domain and name of functions that the file defines

    @property
    def limits(self) -> Limits:
        return self.rules.limits

    def model(self) -> None:
        top = [each for each in self._fields(0, len(self.data)) if each.wire == BYTES]
        if sum(each.number == _MODEL_GRAPH for each in top) != 1:
            raise Unusable(Code.NOT_ONNX, f"{self.name}: it is not an ONNX model: there is no graph in it, or two")
        for each in top:
            if each.number == _MODEL_FUNCTION:
                self._function(each)
        for each in top:
            child = _CHILDREN["model"].get(each.number)
            if child is not None:
                self._message(each, child, 1)

    def _message(self, at: Field, kind: str, depth: int) -> None:
        if depth > self.limits.graph_depth:
            raise Unusable(Code.GRAPH_TOO_DEEP, f"{self.name}: graphs are nested deeper than {self.limits.graph_depth}")
        if kind == "tensor":
            self._tensor(at)
            return
        if kind == "node":
            self._node(at)
        for each in self._fields(at.start, at.end):
            child = _CHILDREN[kind].get(each.number)
            if child is not None and each.wire == BYTES:
                self._message(each, child, depth + 1)

    def _function(self, at: Field) -> None:
        texts = {_FUNCTION_NAME: "", _FUNCTION_DOMAIN: ""}
        for each in self._fields(at.start, at.end):
            if each.number in texts and each.wire == BYTES:
                texts[each.number] = self._text(each)
        self.own.add((texts[_FUNCTION_DOMAIN], texts[_FUNCTION_NAME]))

    def _node(self, at: Field) -> None:
        inputs: list[str] = []
        texts = {_NODE_OP_TYPE: "", _NODE_DOMAIN: ""}
        for each in self._fields(at.start, at.end):
            if each.number == _NODE_INPUT and each.wire == BYTES:
                inputs.append(self._text(each))
            elif each.number in texts and each.wire == BYTES:
                texts[each.number] = self._text(each)
        domain, operator = texts[_NODE_DOMAIN], texts[_NODE_OP_TYPE]
        if domain not in _DOMAINS and (domain, operator) not in self.own and not self.rules.custom_operators:
            said = f"{self.name} uses the operator {shown(f'{domain}.{operator}')}, which is not ONNX Runtime's own"
            self.findings.add(Code.CUSTOM_OPERATORS, said)
        attention = (domain, operator) == ("com.microsoft", "Attention") and self.rules.on_cpu
        if attention and (len(inputs) < 3 or not inputs[2]):
            said = f"{self.name}: an operator Attention has no bias, which ends the process on a CPU"
            self.findings.add(Code.UNSAFE_OPERATOR, said)
        if operator == "EPContext":
            self._context(at)

    def _context(self, at: Field) -> None:
        """A part that a provider compiled: inside the node, or in a file that the node names."""
        texts: dict[str, str] = {}
        embedded = 1
        for attribute in self._fields(at.start, at.end):
            if attribute.number == _NODE_ATTRIBUTE and attribute.wire == BYTES:
                name, number, text = self._attribute(attribute)
                texts[name] = text
                embedded = number if name == "embed_mode" else embedded
        if not embedded:
            self.report.contexts.append(texts.get("ep_cache_context", ""))

    def _attribute(self, at: Field) -> tuple[str, int, str]:
        name, number, text = "", 0, b""
        for each in self._fields(at.start, at.end):
            if each.number == _ATTRIBUTE_NAME and each.wire == BYTES:
                name = self._text(each)
            elif each.number == _ATTRIBUTE_INT and each.wire == VARINT:
                number = signed(varint(self.data, each.start, each.end)[0])
            elif each.number == _ATTRIBUTE_STRING and each.wire == BYTES:
                text = self.data[each.start : min(each.end, each.start + self.limits.path_bytes)]
        return name, number, text.decode(errors="replace")

    def _tensor(self, at: Field) -> None:
        dims: list[int] = []
        name, kind, raw, elsewhere = "", 0, -1, False
        entries: dict[str, str] = {}
        for each in self._fields(at.start, at.end):
            if each.number == _TENSOR_DIMS and each.wire in (BYTES, VARINT):
                dims += self._numbers(each)
            elif each.number == _TENSOR_TYPE and each.wire == VARINT:
                kind = varint(self.data, each.start, each.end)[0]
            elif each.number == _TENSOR_NAME and each.wire == BYTES:
                name = self._text(each)
            elif each.number == _TENSOR_RAW and each.wire == BYTES:
                raw = each.end - each.start
            elif each.number == _TENSOR_EXTERNAL and each.wire == BYTES:
                self._entry(each, entries)
            elif each.number == _TENSOR_LOCATION and each.wire == VARINT:
                elsewhere = varint(self.data, each.start, each.end)[0] == _EXTERNAL
        size = self._size(name, dims, kind)
        if elsewhere or entries:
            self.report.external.append(self._external(name, entries, size))
        elif raw >= 0 and size is not None and raw != size:
            said = f"{self.name}: the tensor {shown(name)} has {raw} bytes, and its shape needs {size}"
            self.findings.add(Code.TENSOR_INVALID, said)

    def _size(self, name: str, dims: list[int], kind: int) -> int | None:
        """Bytes of a tensor of that shape; None where the type does not tell."""
        elements = 1
        for size in dims:
            elements *= size
            most = self.limits.tensor_elements
            if size < 0 or max(size, elements) > most or len(dims) > self.limits.tensor_dimensions:
                said = f"{self.name}: the tensor {shown(name)} has the shape {shown(dims)}"
                raise Unusable(Code.TENSOR_INVALID, said)
        bits = _BITS.get(kind)
        return None if bits is None else (elements * bits + 7) // 8

    def _external(self, name: str, entries: dict[str, str], size: int | None) -> External:
        place = f"{self.name}: the tensor {shown(name)}"
        numbers = {}
        for key in ("offset", "length"):
            written = entries.get(key, "0")
            if not written.isascii() or not written.isdigit() or len(written) > _DIGITS or int(written) >= 1 << 63:
                raise Unusable(Code.EXTERNAL_DATA_INVALID, f"{place} has the {key} {shown(written)} in its file")
            numbers[key] = int(written)
        if _ADDRESS in entries.get("location", ""):
            raise Unusable(Code.EXTERNAL_DATA_OUTSIDE, f"{place} lies at an address in memory, not in a file")
        if not entries.get("location"):
            raise Unusable(Code.EXTERNAL_DATA_INVALID, f"{place} lies in another file, which is not named")
        if size is not None and entries.get("length") and numbers["length"] != size:
            said = f"{place} has {numbers['length']} bytes in {shown(entries['location'])}, and its shape needs {size}"
            self.findings.add(Code.EXTERNAL_DATA_INVALID, said)
        return External(name, entries["location"], numbers["offset"], numbers["length"] or size or 0)

    def _entry(self, at: Field, into: dict[str, str]) -> None:
        pair = {each.number: self._text(each) for each in self._fields(at.start, at.end) if each.wire == BYTES}
        if pair.get(1, "") in into:
            raise Unusable(Code.EXTERNAL_DATA_INVALID, f"{self.name}: a tensor says {shown(pair.get(1, ''))} twice")
        into[pair.get(1, "")] = pair.get(2, "")

    def _numbers(self, at: Field) -> Iterator[int]:
        """One number a field, or all in one."""
        position = at.start
        while position < at.end:
            value, position = varint(self.data, position, at.end)
            yield signed(value)
            self._counted()

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        for each in fields(self.data, start, end):
            self._counted()
            yield each

    def _counted(self) -> None:
        self.count += 1
        if self.count > self.limits.graph_fields:
            raise Unusable(Code.GRAPH_TOO_LARGE, f"{self.name} has more than {self.limits.graph_fields} parts")

    def _text(self, at: Field) -> str:
        if at.end - at.start > self.limits.path_bytes:
            raise Unusable(Code.NOT_ONNX, f"{self.name}: a name in it is longer than {self.limits.path_bytes} bytes")
        return self.data[at.start : at.end].decode()
