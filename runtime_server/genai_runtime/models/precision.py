"""In what precision a model's weights are, told by its graph alone.

By the matrices that its products read, weighed by their size: embeddings and norms stay in floats in every quantised
model, and say nothing of what a token costs.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import InspectedModel
from genai_runtime.models.onnx_graph import Node, OnnxGraph, Tensor, read_graph
from genai_runtime.models.onnx_wire import NotOnnx

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4")

# ONNX's element types: of floats, and of whole numbers (u)int8 and (u)int4.
_TYPES = {1: "fp32", 10: "fp16", 16: "bf16", 2: "int8", 3: "int8", 21: "int4", 22: "int4"}
_FLOATS = ("fp32", "fp16", "bf16")
# Products of blocks of packed weights, which say how many bits a weight has.
_PACKED = ("MatMulNBits", "MatMulBnb4", "QMoE")
_PRODUCTS = (
    *("MatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"),
    *("FusedMatMul", "MoE", "QGemm"),
)
# What stands between a stored matrix and its product.
_PASSED = ("DequantizeLinear", "Transpose", "Cast", "Reshape", "Identity")
_BNB4_BITS = 4


def graph_precision(graph: OnnxGraph) -> str:
    """One of `PRECISIONS`: that of most of the weights; "" where the graph holds none whose type tells."""
    found: Counter[str] = Counter()
    makers = {name: node for node in graph.nodes if node.op_type in _PASSED for name in node.outputs}
    for node in graph.nodes:
        if node.op_type in _PACKED:
            found[_packed(node)] += _packed_size(node, graph)
        elif node.op_type in _PRODUCTS:
            for tensor in _matrices(node, graph, makers):
                found[_TYPES[tensor.element_type]] += _size(tensor)
    if not found:
        for each in _floats(graph):
            found[_TYPES[each.element_type]] += _size(each)
    return max(found, key=lambda name: (found[name], name)) if found else ""


def model_precision(model: InspectedModel) -> str:
    """`graph_precision` of a folder's decoder; "" where its graph cannot be read, which is the engine's to say."""
    try:
        return graph_precision(read_graph(model.folder / model.decoder_filename))
    except (NotOnnx, OSError):
        return ""


def check_precision(wanted: str, found: str, folder: Path) -> None:
    """Raises `ModelUnusable` (InvalidSpec) when the model is not what was said of it. "" wanted: nothing was."""
    if not wanted or wanted == found:
        return
    is_ = f"its weights are {found}" if found else "its graph does not tell in what precision its weights are"
    remedy = f"say precision: {found}, " if found else "leave precision out, "
    raise ModelUnusable(
        "InvalidSpec",
        f"precision {wanted} was asked for, but {is_} ({folder}); {remedy}or give a model that is {wanted}",
    )


def _packed(node: Node) -> str:
    bits = node.attributes.get("bits", node.attributes.get("expert_weight_bits", _BNB4_BITS))
    return "int4" if isinstance(bits, int) and bits <= _BNB4_BITS else "int8"


def _packed_size(node: Node, graph: OnnxGraph) -> int:
    """How many weights it has: K x N, or what its stored blocks hold."""
    rows, columns = node.attributes.get("K"), node.attributes.get("N")
    if isinstance(rows, int) and isinstance(columns, int):
        return rows * columns
    stored = [graph.initializers[name] for name in node.inputs if name in graph.initializers]
    return max((_size(each) for each in stored), default=1)


def _matrices(node: Node, graph: OnnxGraph, makers: dict[str, Node]) -> Iterator[Tensor]:
    """The stored matrices that it reads, directly or through what changes their form only."""
    for name in node.inputs:
        seen = name
        for _ in _PASSED:
            maker = makers.get(seen)
            if maker is None or not maker.inputs:
                break
            seen = maker.inputs[0]
        tensor = graph.initializers.get(seen)
        if tensor is not None and len(tensor.shape) > 1 and tensor.element_type in _TYPES:
            yield tensor


def _floats(graph: OnnxGraph) -> Iterator[Tensor]:
    return (each for each in graph.initializers.values() if _TYPES.get(each.element_type) in _FLOATS)


def _size(tensor: Tensor) -> int:
    return math.prod(each for each in tensor.shape if isinstance(each, int))
