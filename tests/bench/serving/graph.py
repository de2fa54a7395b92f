"""The decoder as an ONNX graph, node by node as GenAI's model builder writes it for the CPU.

What differs between a contiguous and a paged KV cache is an `Attention`; the paged one is `paged.py`.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from bench.serving.int4 import quantise
from bench.serving.reference import rotary
from bench.serving.shape import Floats, Layer, Shape, Weights

MICROSOFT = "com.microsoft"
_MASK = "/model/attn_mask_reformat/attn_mask_subgraph"
_OUTPUT = "output_0"


class Parts:
    """Nodes and constants in the order they are made."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def node(self, kind: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any) -> str:
        """Adds a node; the name of its first output."""
        outputs = [outputs] if isinstance(outputs, str) else outputs
        name = outputs[0].removesuffix(f"/{_OUTPUT}")
        made = helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes)
        self.nodes.append(made)
        return outputs[0]

    def tensor(self, name: str, array: NDArray[Any]) -> str:
        """Adds a constant; its name."""
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


class Attention(Protocol):
    """What the decoder asks of its KV cache's layout."""

    opset: int

    def inputs(self) -> list[ValueInfoProto]: ...

    def outputs(self) -> list[ValueInfoProto]: ...

    def prepare(self, parts: Parts) -> str:
        """Nodes that all layers share; the name of ids [batch, positions]."""
        ...

    def layer(self, parts: Parts, number: int, projected: str) -> str:
        """Attention over queries, keys and values that lie side by side in `projected`."""
        ...

    def finish(self, parts: Parts, logits: str) -> None:
        """Makes the graph's output `logits`."""
        ...


class Contiguous:
    """GroupQueryAttention over one buffer a layer, past and present sharing it."""

    opset = 22

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def inputs(self) -> list[ValueInfoProto]:
        ids = [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        ]
        return ids + self._caches("past_key_values", "past_sequence_length")

    def outputs(self) -> list[ValueInfoProto]:
        shape: list[str | int | None] = ["batch_size", "sequence_length", self._shape.vocabulary]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
        return [logits, *self._caches("present", "total_sequence_length")]

    def prepare(self, parts: Parts) -> str:
        one = constant(parts, "/model/constants/INT64/[1]", np.array([1], np.int64))
        sums = parts.node("ReduceSum", ["attention_mask", one], f"{_MASK}/ReduceSum/{_OUTPUT}", keepdims=0)
        lasts = parts.node("Sub", [sums, one], f"{_MASK}/Sub/{_OUTPUT}")
        parts.node("Cast", [lasts], f"{_MASK}/Sub/Cast/{_OUTPUT}", to=TensorProto.INT32)
        size = parts.node("Shape", ["attention_mask"], f"{_MASK}/Shape/{_OUTPUT}")
        first = constant(parts, "/model/constants/INT64/1", np.array(1, np.int64))
        total = parts.node("Gather", [size, first], f"{_MASK}/Gather/{_OUTPUT}", axis=0)
        parts.node("Cast", [total], f"{_MASK}/Gather/Cast/{_OUTPUT}", to=TensorProto.INT32)
        return "input_ids"

    def layer(self, parts: Parts, number: int, projected: str) -> str:
        past = [f"past_key_values.{number}.{kind}" for kind in ("key", "value")]
        lengths = [f"{_MASK}/Sub/Cast/{_OUTPUT}", f"{_MASK}/Gather/Cast/{_OUTPUT}"]
        output = f"/model/layers.{number}/attn/GroupQueryAttention/{_OUTPUT}"
        return parts.node(
            "GroupQueryAttention",
            [projected, "", "", *past, *lengths, "cos_cache", "sin_cache", "", "", ""],
            [output, f"present.{number}.key", f"present.{number}.value"],
            MICROSOFT,
            num_heads=self._shape.heads,
            kv_num_heads=self._shape.kv_heads,
            scale=self._shape.head_size**-0.5,
            local_window_size=-1,
            softcap=0.0,
            do_rotary=1,
            rotary_interleaved=0,
        )

    def finish(self, parts: Parts, logits: str) -> None:
        rename_output(parts, logits, "logits")

    def _caches(self, prefix: str, length: str) -> list[ValueInfoProto]:
        shape: list[str | int | None] = ["batch_size", self._shape.kv_heads, length, "kv_cache_dim"]
        return [
            helper.make_tensor_value_info(f"{prefix}.{number}.{kind}", TensorProto.FLOAT, shape)
            for number in range(self._shape.layers)
            for kind in ("key", "value")
        ]


def decoder(shape: Shape, weights: Weights, block: int, attention: Attention) -> ModelProto:
    """The graph with its weights: four-bit in blocks of `block` along the input, or float when `block` is 0."""
    parts = Parts()
    ids = attention.prepare(parts)
    for name, table in zip(("cos_cache", "sin_cache"), rotary(shape, np.arange(shape.context)), strict=True):
        parts.tensor(name, table)
    embedding = parts.tensor("model.embed_tokens.weight", weights.embedding)
    residual = parts.node("Gather", [embedding, ids], f"/model/embed_tokens/Gather/{_OUTPUT}")
    added = ""  # what the last layer gave, to be added to the residual by the next norm
    for number, layer in enumerate(weights.layers):
        prefix = f"/model/layers.{number}"
        normal, residual = _norm(parts, shape, f"{prefix}/input_layernorm", residual, added)
        joined = np.concatenate([layer.query, layer.key, layer.value])
        projected = _linear(parts, f"{prefix}/attn/qkv_proj", normal, joined, block)
        mixed = attention.layer(parts, number, projected)
        added = _linear(parts, f"{prefix}/attn/o_proj", mixed, layer.output, block)
        normal, residual = _norm(parts, shape, f"{prefix}/post_attention_layernorm", residual, added)
        added = _feed_forward(parts, f"{prefix}/mlp", normal, layer, block)
    normal, _ = _norm(parts, shape, f"/model/layers.{shape.layers}/final_norm_layernorm", residual, added)
    attention.finish(parts, _linear(parts, "/lm_head", normal, weights.head, block))
    graph = helper.make_graph(parts.nodes, "main_graph", attention.inputs(), attention.outputs(), parts.tensors)
    opsets = [helper.make_opsetid("", attention.opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="genai-operator benchmark")


def constant(parts: Parts, name: str, value: NDArray[np.int64]) -> str:
    """A Constant node, as the builder writes small numbers."""
    return parts.node("Constant", [], name, value=numpy_helper.from_array(value))


def rename_output(parts: Parts, old: str, new: str) -> None:
    """Gives the last node's output another name."""
    assert parts.nodes[-1].output[0] == old
    parts.nodes[-1].output[0] = new


def _norm(parts: Parts, shape: Shape, name: str, residual: str, added: str) -> tuple[str, str]:
    """(normalised, residual): the first norm of the model has nothing to add."""
    weight_name = f"{name.removeprefix('/').replace('/', '.')}.weight"
    weight = parts.tensor(weight_name, np.ones(shape.hidden, np.float32))
    if not added:
        inputs = [residual, weight]
        kind = "SimplifiedLayerNormalization"
        output = parts.node(kind, inputs, f"{name}/{_OUTPUT}", epsilon=shape.epsilon, axis=-1, stash_type=1)
        return output, residual
    outputs = [f"{name}/{_OUTPUT}", "", "", f"{name}/output_3"]
    last = name.endswith("final_norm_layernorm")  # nothing needs the sum any more
    inputs = [residual, added, weight]
    kind = "SkipSimplifiedLayerNormalization"
    parts.node(kind, inputs, outputs[:1] if last else outputs, MICROSOFT, epsilon=shape.epsilon)
    return outputs[0], outputs[3]


def _feed_forward(parts: Parts, name: str, normal: str, layer: Layer, block: int) -> str:
    gate = _linear(parts, f"{name}/gate_proj", normal, layer.gate, block)
    up = _linear(parts, f"{name}/up_proj", normal, layer.up, block)
    sigmoid = parts.node("Sigmoid", [gate], f"{name}/act_fn/Sigmoid/{_OUTPUT}")
    active = parts.node("Mul", [gate, sigmoid], f"{name}/act_fn/Mul/{_OUTPUT}")
    gated = parts.node("Mul", [active, up], f"{name}/Mul/{_OUTPUT}")
    return _linear(parts, f"{name}/down_proj", gated, layer.down, block)


def _linear(parts: Parts, name: str, x: str, weight: Floats, block: int) -> str:
    output = f"{name}/MatMul/{_OUTPUT}"
    base = f"{name.removeprefix('/').replace('/', '.')}.MatMul.weight"
    if not block:
        return parts.node("MatMul", [x, parts.tensor(base, weight.T)], output)
    packed, scales = quantise(weight, block)
    inputs = [x, parts.tensor(f"{base}_Q4", packed), parts.tensor(f"{base}_scales", scales)]
    outputs, width = weight.shape
    sizes: dict[str, int] = {"K": width, "N": outputs, "bits": 4, "block_size": block, "accuracy_level": 4}
    return parts.node("MatMulNBits", inputs, output, MICROSOFT, **sizes)
