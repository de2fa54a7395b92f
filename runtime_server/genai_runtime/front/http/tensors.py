"""Tensors of the Open Inference Protocol as JSON, and as the messages that its gRPC dialect reads and fills."""

from typing import Any

from google.protobuf.message import Message

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.http.bodies import Body

_MOST_TENSORS = 16
# (the field of InferTensorContents, the JSON values that fit)
_CONTENTS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "BYTES": ("bytes_contents", str),
    "BOOL": ("bool_contents", bool),
    "INT32": ("int_contents", int),
    "UINT32": ("uint_contents", int),
    "INT64": ("int64_contents", int),
    "UINT64": ("uint64_contents", int),
    "FP32": ("fp32_contents", (int, float)),
}


class TensorBody(Body):
    """One input, or the name of one output."""

    name: str
    shape: list[int] = []  # noqa: RUF012 - pydantic copies it
    datatype: str = ""
    data: Any = None
    parameters: dict[str, Any] = {}  # noqa: RUF012 - the same


class InferBody(Body):
    """POST /v2/models/{model}/infer."""

    id: str = ""
    inputs: list[TensorBody]
    outputs: list[TensorBody] = []  # noqa: RUF012 - the same
    parameters: dict[str, Any] = {}  # noqa: RUF012 - the same


def as_message(body: InferBody, model: str, version: str) -> oip.ModelInferRequest:
    """Raises `InvalidRequest`."""
    if len(body.inputs) > _MOST_TENSORS or len(body.outputs) > _MOST_TENSORS:
        raise InvalidRequest("inputs", f"or outputs are more than {_MOST_TENSORS}")
    request = oip.ModelInferRequest(model_name=model, model_version=version, id=body.id)
    _parameters(request.parameters, body.parameters, "parameters")
    for tensor in body.inputs:
        place = f"inputs[{tensor.name[:100]!r}]"
        found = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _parameters(found.parameters, tensor.parameters, f"{place}.parameters")
        _fill(found.contents, tensor, place)
    for tensor in body.outputs:
        wanted = request.outputs.add(name=tensor.name)
        shown = {name: value for name, value in tensor.parameters.items() if (name, value) != ("binary_data", False)}
        _parameters(wanted.parameters, shown, f"outputs[{tensor.name[:100]!r}].parameters")
    return request


def as_json(answer: oip.ModelInferResponse) -> dict[str, Any]:
    """The answer's tensors with their data."""
    found: dict[str, Any] = {"model_name": answer.model_name, "model_version": answer.model_version, "id": answer.id}
    found["parameters"] = {
        name: getattr(value, str(value.WhichOneof("parameter_choice"))) for name, value in answer.parameters.items()
    }
    found["outputs"] = [
        {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": _data(tensor)}
        for tensor in answer.outputs
    ]
    return found


def _fill(contents: Message, tensor: TensorBody, place: str) -> None:
    field, kinds = _CONTENTS.get(tensor.datatype, ("", ()))
    if not field:
        raise InvalidRequest(place, f"has datatype {tensor.datatype[:20]!r}; it must be one of {', '.join(_CONTENTS)}")
    elements = _flat(tensor.data)
    if not all(isinstance(item, kinds) and (kinds is bool or not isinstance(item, bool)) for item in elements):
        raise InvalidRequest(f"{place}.data", f"must hold values of {tensor.datatype}")
    try:
        getattr(contents, field).extend([item.encode() for item in elements] if kinds is str else elements)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{place}.data", f"must hold values of {tensor.datatype}: {error}") from error


def _flat(data: Any) -> list[Any]:
    """The elements in order; JSON may nest them as the shape does."""
    elements: list[Any] = []
    rest = [data]
    while rest:
        item = rest.pop()
        if isinstance(item, list):
            rest += reversed(item)
        else:
            elements.append(item)
    return elements


def _parameters(message: Any, values: dict[str, Any], place: str) -> None:
    for name, value in values.items():
        field = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}.get(type(value))
        if field is None:
            raise InvalidRequest(f"{place}.{name[:100]}", "must be true or false, a number or a text")
        try:
            setattr(message[name], field, value)
        except ValueError as error:
            raise InvalidRequest(f"{place}.{name[:100]}", str(error)) from error


def _data(tensor: Any) -> list[Any]:
    field = _CONTENTS[tensor.datatype][0]
    elements = list(getattr(tensor.contents, field))
    return [item.decode(errors="replace") for item in elements] if tensor.datatype == "BYTES" else elements
