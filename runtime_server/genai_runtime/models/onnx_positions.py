"""Changes a decoder graph so that logits are computed for chosen positions only.

A prefill needs the KV cache of all positions and the logits of none, yet ONNX Runtime computes the whole graph: the
last layer after its attention, and the output head, which for a large vocabulary is most of it. So a Gather of the
positions asked for goes between the last attention and what follows, with a new input that names them. For the
positions that remain every operation computes what it did before; the caches are made before the cut and do not change.

A graph whose end is not understood is left as it is: that costs time, nothing else.
"""

from collections.abc import Collection, Iterator

from genai_runtime.models import onnx_graph as onnx
from genai_runtime.models.onnx_graph import Node, OnnxGraph, Tensor
from genai_runtime.models.onnx_wire import bytes_field, field_head, fields, number_field

POSITIONS_INPUT = "logits_positions"
_CUT_SUFFIX = "/logits_positions"

# They treat each position alike and apart from all others, where the last dimension is the model's width.
_EACH_POSITION = frozenset(
    {
        *("MatMul", "MatMulNBits", "MatMulBnb4", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Neg", "Cast", "Identity"),
        *("Sigmoid", "Tanh", "Erf", "Relu", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Softplus", "Clip"),
        *("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"),
        *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
    }
)
_ALONG_AXIS = frozenset({"Softmax", "LogSoftmax", "Split"})  # and these, along the last dimension
_LAST_AXES = (-1, 2)
_RESIDUAL_READERS = frozenset({"Add", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"})


def with_positions_input(data: bytes, graph: OnnxGraph, attention: str, logits: str) -> bytes | None:
    """The file `data` with an int64 input `POSITIONS_INPUT` [k]; `logits` are [batch, k, vocabulary], of those alone.

    `graph` is what `read_graph` found in it, `attention` the type of its attention nodes. Negative positions count from
    the end. None if the graph ends in a way that is not known.
    """
    tail = _Tail.find(graph, attention, logits)
    if tail is None:
        return None
    content = b"".join(_edited(data, graph, tail, logits))
    head = data[: graph.at.tag] + field_head(onnx.MODEL_GRAPH, len(content))
    return head + content + data[graph.at.end :]


class _Tail:
    """The nodes that follow from the last attention, and the tensors that come into them from before: `cut`."""

    def __init__(self, nodes: list[Node], cut: Collection[str]) -> None:
        self.nodes = {node.at.tag: node for node in nodes}
        self.cut = cut
        self.outputs = {name for node in nodes for name in node.outputs if name}

    @classmethod
    def find(cls, graph: OnnxGraph, attention: str, logits: str) -> "_Tail | None":
        constants = _constants(graph)
        followed = [(node, _following(graph, node.outputs[0])) for node in graph.nodes if node.op_type == attention]
        ends = [(node, after) for node, after in followed if all(each.op_type != attention for each in after)]
        if len(ends) != 1:
            return None
        last, after = ends[0]
        tail = cls(after, (last.outputs[0],))
        residuals = {
            name
            for node in after
            for name in node.inputs
            if name and name not in tail.outputs and name not in constants
        } - {last.outputs[0]}
        known = (
            all(_each_position_apart(node) for node in after)
            and tail.outputs & set(graph.outputs) == {logits}
            and len(residuals) <= 1
            and all(node.op_type in _RESIDUAL_READERS for node in after if residuals & set(node.inputs))
            and not any(name.endswith(_CUT_SUFFIX) for node in graph.nodes for name in node.outputs)
            and POSITIONS_INPUT not in graph.inputs
        )
        return cls(after, (last.outputs[0], *residuals)) if known else None


def _constants(graph: OnnxGraph) -> set[str]:
    """Names of what does not depend on the inputs."""
    found = set(graph.initializers)
    for node in graph.nodes:
        if all(name in found or not name for name in node.inputs):
            found.update(node.outputs)
    return found


def _following(graph: OnnxGraph, start: str) -> list[Node]:
    """The nodes that depend on `start`; those of a file come in an order of dependence."""
    reached, found = {start}, []
    for node in graph.nodes:
        if reached & set(node.inputs):
            found.append(node)
            reached.update(name for name in node.outputs if name)
    return found


def _each_position_apart(node: Node) -> bool:
    if node.op_type in _ALONG_AXIS:
        return node.attributes.get("axis") in _LAST_AXES
    return node.op_type in _EACH_POSITION and node.attributes.get("axis", -1) in _LAST_AXES


def _edited(data: bytes, graph: OnnxGraph, tail: _Tail, logits: str) -> Iterator[bytes]:
    """The new content of the graph's field, in pieces."""
    gathered: set[str] = set()
    stale = {each.at.tag for name, each in graph.value_infos.items() if name in tail.outputs}
    for each in fields(data, graph.at.start, graph.at.end):
        node = tail.nodes.get(each.tag) if each.number == onnx.GRAPH_NODE else None
        if node is not None:
            for name in sorted(set(node.inputs) & set(tail.cut) - gathered):
                gathered.add(name)
                yield _gather(name)
            yield _renamed(data, node, tail.cut)
        elif each.tag == graph.outputs[logits].at.tag:
            yield _logits_output(graph.outputs[logits])
        elif each.tag not in stale:  # shapes noted for the tail's tensors are no longer true
            yield data[each.tag : each.end]
    yield _value_info(onnx.GRAPH_INPUT, POSITIONS_INPUT, onnx.INT64, [POSITIONS_INPUT])


def _gather(name: str) -> bytes:
    axis = bytes_field(onnx.ATTRIBUTE_NAME, "axis")
    axis += number_field(onnx.ATTRIBUTE_INT, 1) + number_field(onnx.ATTRIBUTE_TYPE, onnx.ATTRIBUTE_TYPE_INT)
    parts = [
        bytes_field(onnx.NODE_INPUT, name),
        bytes_field(onnx.NODE_INPUT, POSITIONS_INPUT),
        bytes_field(onnx.NODE_OUTPUT, name + _CUT_SUFFIX),
        bytes_field(onnx.NODE_NAME, name + _CUT_SUFFIX),
        bytes_field(onnx.NODE_OP_TYPE, "Gather"),
        bytes_field(onnx.NODE_ATTRIBUTE, axis),
    ]
    return bytes_field(onnx.GRAPH_NODE, b"".join(parts))


def _renamed(data: bytes, node: Node, cut: Collection[str]) -> bytes:
    parts = []
    for each in fields(data, node.at.start, node.at.end):
        name = data[each.start : each.end].decode() if each.number == onnx.NODE_INPUT else ""
        parts.append(bytes_field(onnx.NODE_INPUT, name + _CUT_SUFFIX) if name in cut else data[each.tag : each.end])
    return bytes_field(onnx.GRAPH_NODE, b"".join(parts))


def _logits_output(tensor: Tensor) -> bytes:
    batch, _, vocabulary = tensor.shape
    return _value_info(onnx.GRAPH_OUTPUT, tensor.name, tensor.element_type, [batch, POSITIONS_INPUT, vocabulary])


def _value_info(number: int, name: str, element_type: int, shape: list[int | str]) -> bytes:
    sizes = [
        number_field(onnx.DIM_VALUE, size) if isinstance(size, int) else bytes_field(onnx.DIM_PARAM, size)
        for size in shape
    ]
    dimensions = b"".join(bytes_field(onnx.SHAPE_DIM, size) for size in sizes)
    tensor = number_field(onnx.TENSOR_TYPE_ELEMENT, element_type) + bytes_field(onnx.TENSOR_TYPE_SHAPE, dimensions)
    type_field = bytes_field(onnx.VALUE_TYPE, bytes_field(onnx.TYPE_TENSOR, tensor))
    return bytes_field(number, bytes_field(onnx.VALUE_NAME, name) + type_field)
