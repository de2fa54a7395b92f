"""The input tensors of an Open Inference Protocol request: what a text model takes, read and checked. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest

TEXT_INPUT, INPUT_IDS = "text_input", "input_ids"
STREAM, SAMPLING_PARAMETERS = "stream", "sampling_parameters"

Tensor = oip.ModelInferRequest.InferInputTensor
Element = bytes | int | bool
# Datatypes that are read: struct's letter, and the field of the typed contents. BYTES has a length before each element.
_LETTERS = {"INT32": "i", "INT64": "q", "BOOL": "?"}
_FIELDS = {"BYTES": "bytes_contents", "INT32": "int_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
_DATATYPES = {
    TEXT_INPUT: ("BYTES",),
    INPUT_IDS: ("INT64", "INT32"),
    STREAM: ("BOOL",),
    SAMPLING_PARAMETERS: ("BYTES",),
}
# Of Triton's tensor parameters; HTTP clients that were turned to gRPC still send the first.
_HARMLESS_PARAMETERS = frozenset({"binary_data_size"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """Exactly one of `text` and `ids` is set; `stream` and `sampling_parameters` (JSON) are None where not given."""

    text: str | None
    ids: list[int] | None
    stream: bool | None
    sampling_parameters: str | None


def read_inputs(request: oip.ModelInferRequest) -> Inputs:
    """Raises `InvalidRequest` that names the tensor."""
    tensors = _by_name(request.inputs)
    found = {name: _elements(name, tensor, raw) for name, tensor, raw in _with_contents(request, tensors)}
    if (TEXT_INPUT in found) == (INPUT_IDS in found):
        raise InvalidRequest("inputs", f"must hold {TEXT_INPUT} or {INPUT_IDS}, and not both")
    texts = {name: _text(name, found[name]) for name in (TEXT_INPUT, SAMPLING_PARAMETERS) if name in found}
    return Inputs(
        text=texts.get(TEXT_INPUT),
        ids=[int(id_) for id_ in found[INPUT_IDS]] if INPUT_IDS in found else None,
        stream=bool(found[STREAM][0]) if STREAM in found else None,
        sampling_parameters=texts.get(SAMPLING_PARAMETERS),
    )


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for tensor in tensors:
        name = tensor.name
        if name not in _DATATYPES:
            raise InvalidRequest(f"inputs[{name[:100]!r}]", f"is not an input here; inputs are {', '.join(_DATATYPES)}")
        if name in found:
            raise InvalidRequest(f"inputs[{name!r}]", "is given twice")
        if unknown := sorted(set(tensor.parameters) - _HARMLESS_PARAMETERS):
            raise InvalidRequest(
                f"inputs[{name!r}].parameters.{unknown[0][:100]}",
                "is not offered; a tensor's elements are sent in the request itself, not in shared memory",
            )
        found[name] = tensor
    return found


def _with_contents(
    request: oip.ModelInferRequest, tensors: dict[str, Tensor]
) -> list[tuple[str, Tensor, bytes | None]]:
    """Each tensor with its raw elements, None where it has typed ones."""
    raw = request.raw_input_contents
    if not raw:
        return [(name, tensor, None) for name, tensor in tensors.items()]
    if len(raw) != len(tensors):
        raise InvalidRequest("raw_input_contents", f"has {len(raw)} entries for {len(tensors)} inputs; each needs one")
    for name, tensor in tensors.items():
        if tensor.HasField("contents"):
            raise InvalidRequest(f"inputs[{name!r}].contents", "must be empty where raw_input_contents is used")
    return [(name, tensor, content) for (name, tensor), content in zip(tensors.items(), raw, strict=True)]


def _elements(name: str, tensor: Tensor, raw: bytes | None) -> list[Element]:
    """As many as the shape says, in one item."""
    if tensor.datatype not in _DATATYPES[name]:
        allowed = " or ".join(_DATATYPES[name])
        raise InvalidRequest(f"inputs[{name!r}].datatype", f"is {tensor.datatype[:40]!r}; it must be {allowed}")
    count = _count(name, list(tensor.shape))
    if raw is None:
        elements: list[Element] = list(getattr(tensor.contents, _FIELDS[tensor.datatype]))
    elif tensor.datatype == "BYTES":
        elements = list(_bytes_elements(name, raw))
    else:
        elements = list(_numbers(name, tensor.datatype, raw))
    if len(elements) != count:
        raise InvalidRequest(
            f"inputs[{name!r}]", f"has {len(elements)} elements of {tensor.datatype}, and shape {list(tensor.shape)}"
        )
    return elements


def _count(name: str, shape: list[int]) -> int:
    """Elements of one item; [k] and [1, k] are the same here."""
    place = f"inputs[{name!r}].shape"
    if not shape or len(shape) > 2 or any(size < 1 for size in shape):
        raise InvalidRequest(place, f"is {shape[:8]}; it must be {'[k] or [1, k]' if name == INPUT_IDS else '[1]'}")
    if len(shape) == 2 and shape[0] != 1:
        raise InvalidRequest(place, f"is {shape}, a batch of {shape[0]}; send one request for each item")
    if name != INPUT_IDS and shape[-1] != 1:
        raise InvalidRequest(place, f"is {shape}, which is {shape[-1]} items; send one request for each")
    return shape[-1]


def _bytes_elements(name: str, raw: bytes) -> list[bytes]:
    elements: list[bytes] = []
    position = 0
    while position < len(raw):
        (length,) = struct.unpack_from("<I", raw, position) if position + 4 <= len(raw) else (len(raw),)
        position += 4
        if position + length > len(raw):
            raise InvalidRequest(f"inputs[{name!r}]", "has raw contents that end in the middle of an element")
        elements.append(raw[position : position + length])
        position += length
    return elements


def _numbers(name: str, datatype: str, raw: bytes) -> tuple[int, ...]:
    letter = _LETTERS[datatype]
    size = struct.calcsize(f"<{letter}")
    if len(raw) % size:
        raise InvalidRequest(f"inputs[{name!r}]", f"has {len(raw)} raw bytes, which is no whole number of {datatype}")
    return struct.unpack(f"<{len(raw) // size}{letter}", raw)


def _text(name: str, elements: list[Element]) -> str:
    (element,) = elements  # _count has seen to it
    try:
        return bytes(element).decode() if isinstance(element, bytes) else str(element)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"inputs[{name!r}]", f"is not UTF-8: {error.reason} at byte {error.start}") from error
