"""Model folders with a small random decoder, in the shapes that GenAI's model builder gives its graphs.

Weights are random but of zero mean, so that greedy output varies; the tokenizer is the hello model's.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from support.engines import HELLO_MODEL

EPSILON = 1e-5


@dataclass(frozen=True)
class TinyDecoder:
    """What to build. `positions`: "" (inside attention), "rotary" (its own operation, fed by an input).

    `tail`: how the last layer ends: "skip" is usual; "norm" has a norm before the residual is added, as Gemma has;
    "reshape" ends in an operation that does not treat positions alike. `lora_rank`: of a pair of weights in the output
    head that may be overridden.
    """

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    vocabulary: int = 1280
    context: int = 512
    dtype: Any = np.float32
    positions: str = ""
    tail: str = "skip"
    window: int = -1
    external: bool = True
    bias: bool = False
    lora_rank: int = -1

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    def write(self, folder: Path) -> Path:
        """Make the folder, with all that GenAI wants in it."""
        folder.mkdir(parents=True)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(HELLO_MODEL / name, folder / name)
        (folder / "genai_config.json").write_text(json.dumps(self._config()))
        path = folder / "model.onnx"
        options: dict[str, Any] = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 1024}
        onnx.save(_Build(self).model(), path, **(options if self.external else {}))
        return folder

    def _config(self) -> dict[str, Any]:
        inputs = {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        }
        if self.positions:
            inputs["position_ids"] = "position_ids"
        decoder = {
            "session_options": {"provider_options": []},
            "filename": "model.onnx",
            "head_size": self.head_size,
            "hidden_size": self.hidden,
            "inputs": inputs,
            "outputs": {
                "logits": "logits",
                "present_key_names": "present.%d.key",
                "present_value_names": "present.%d.value",
            },
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
        }
        sizes = {"context_length": self.context, "vocab_size": self.vocabulary}
        tokens = {"bos_token_id": 0, "eos_token_id": [2], "pad_token_id": 3}
        search = {"max_length": self.context, "past_present_share_buffer": True}
        return {"model": {"type": "llama", **sizes, **tokens, "decoder": decoder}, "search": search}


class _Build:
    """The graph, node by node. Names are those that GenAI's builder would give."""

    def __init__(self, shape: TinyDecoder) -> None:
        self.shape = shape
        self.random = np.random.default_rng(7)
        self.float = helper.np_dtype_to_tensor_dtype(np.dtype(shape.dtype))
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.inputs = [
            _value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            _value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        ]
        self.outputs = [_value("logits", self.float, ["batch_size", "sequence_length", shape.vocabulary])]
        self.infos: list[ValueInfoProto] = []

    def model(self) -> onnx.ModelProto:
        """All of it."""
        shape = self.shape
        self._lengths()
        self._rotary_tables()
        if shape.positions:
            self.inputs.append(_value("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"]))
        embedding = self.normal("model.embed_tokens.weight", (shape.vocabulary, shape.hidden), 1.0)
        stream = self.node("Gather", [embedding, "input_ids"], "embed", domain="")
        normed = self.norm(stream, "layers.0.input")
        for layer in range(shape.layers):
            attended = self._attention(normed, layer)
            last = layer == shape.layers - 1
            attended = self._before_residual(attended, layer) if last else attended
            normed, stream = self.skip_norm(stream, attended, f"layers.{layer}.post")
            out = self._mlp(normed, f"layers.{layer}.mlp")
            normed, stream = self.skip_norm(stream, out, f"layers.{layer}.next")
        self._head(normed)
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.weights, value_info=self.infos)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def _lengths(self) -> None:
        """From the mask: the index of each row's last position, and the whole width, both int32."""
        self.constant("one", np.array([1], np.int64))
        self.constant("index_one", np.array(1, np.int64))
        self.node("ReduceSum", ["attention_mask", "one"], "mask_sum", domain="", keepdims=0)
        self.node("Sub", ["mask_sum", "one"], "mask_last", domain="")
        self.node("Cast", ["mask_last"], "seqlens_k", domain="", to=TensorProto.INT32)
        self.node("Shape", ["attention_mask"], "mask_shape", domain="")
        self.node("Gather", ["mask_shape", "index_one"], "mask_width", domain="", axis=0)
        self.node("Cast", ["mask_width"], "total_length", domain="", to=TensorProto.INT32)

    def _rotary_tables(self) -> None:
        half = self.shape.head_size // 2
        angles = np.outer(np.arange(self.shape.context), 10000.0 ** (-np.arange(half) / half))
        self.constant("cos_cache", np.cos(angles).astype(self.shape.dtype))
        self.constant("sin_cache", np.sin(angles).astype(self.shape.dtype))

    def _attention(self, normed: str, layer: int) -> str:
        shape, name = self.shape, f"layers.{layer}.attn"
        sizes = {"q": shape.heads * shape.head_size, "k": shape.kv_heads * shape.head_size}
        query = self.linear(normed, f"{name}.q", sizes["q"], scale=2.0)
        key = self.linear(normed, f"{name}.k", sizes["k"], scale=2.0)
        value = self.linear(normed, f"{name}.v", sizes["k"])
        if shape.positions:
            query, key = self._rotated(query, shape.heads), self._rotated(key, shape.kv_heads)
        past, present = self._cache(layer)
        tables = ["", ""] if shape.positions else ["cos_cache", "sin_cache"]
        out = f"{name}.out"
        self.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [query, key, value, *past, "seqlens_k", "total_length", *tables],
                [out, *present],
                domain="com.microsoft",
                name=name,
                num_heads=shape.heads,
                kv_num_heads=shape.kv_heads,
                do_rotary=0 if shape.positions else 1,
                local_window_size=shape.window,
            )
        )
        return self.linear(out, f"{name}.o", shape.hidden)

    def _rotated(self, tensor: str, heads: int) -> str:
        tables = ["position_ids", "cos_cache", "sin_cache"]
        return self.node("RotaryEmbedding", [tensor, *tables], f"{tensor}.rotated", num_heads=heads)

    def _cache(self, layer: int) -> tuple[list[str], list[str]]:
        past = [f"past_key_values.{layer}.{kind}" for kind in ("key", "value")]
        present = [f"present.{layer}.{kind}" for kind in ("key", "value")]
        for names, into, length in ((past, self.inputs, "past"), (present, self.outputs, "total")):
            sizes = ["batch_size", self.shape.kv_heads, f"{length}_sequence_length", self.shape.head_size]
            into.extend(_value(name, self.float, sizes) for name in names)
        return past, present

    def _before_residual(self, attended: str, layer: int) -> str:
        if self.shape.tail == "norm":
            return self.norm(attended, f"layers.{layer}.after_attention")
        if self.shape.tail == "reshape":
            self.constant("as_it_was", np.array([0, -1, self.shape.hidden], np.int64))
            return self.node("Reshape", [attended, "as_it_was"], f"layers.{layer}.reshaped", domain="")
        return attended

    def _mlp(self, normed: str, name: str) -> str:
        gate = self.linear(normed, f"{name}.gate", 2 * self.shape.hidden)
        up = self.linear(normed, f"{name}.up", 2 * self.shape.hidden)
        soft = self.node("Sigmoid", [gate], f"{name}.sigmoid", domain="")
        active = self.node("Mul", [gate, soft], f"{name}.act", domain="")
        return self.linear(self.node("Mul", [active, up], f"{name}.mul", domain=""), f"{name}.down", self.shape.hidden)

    def _head(self, normed: str) -> None:
        shape, rank = self.shape, self.shape.lora_rank
        if rank < 0:
            self.linear(normed, "lm_head", shape.vocabulary, output="logits")
            return
        logits = self.linear(normed, "lm_head", shape.vocabulary)
        down, up = "lm_head.lora_A.weight", "lm_head.lora_B.weight"
        self.constant(down, np.zeros((shape.hidden, rank), shape.dtype))
        self.constant(up, np.zeros((rank, shape.vocabulary), shape.dtype))
        self.inputs.append(_value(down, self.float, [shape.hidden, "rank"]))
        self.inputs.append(_value(up, self.float, ["rank", shape.vocabulary]))
        low = self.node("MatMul", [normed, down], "lm_head.lora_low", domain="")
        high = self.node("MatMul", [low, up], "lm_head.lora_high", domain="")
        self.node("Add", [logits, high], "logits", domain="")

    def node(self, op_type: str, inputs: list[str], output: str, domain: str = "com.microsoft", **more: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output], domain=domain, name=f"/{output}", **more))
        return output

    def linear(self, source: str, name: str, size: int, scale: float = 1.0, output: str = "") -> str:
        """A dense layer without bias, or with one if the model has them."""
        width = 2 * self.shape.hidden if name.endswith("down") else self.shape.hidden
        weight = self.normal(f"{name}.weight", (width, size), scale / width**0.5)
        output = output or f"{name}.out"
        self.infos.append(_value(output, self.float, ["batch_size", "sequence_length", size]))
        if not self.shape.bias:
            return self.node("MatMul", [source, weight], output, domain="")
        product = self.node("MatMul", [source, weight], f"{name}.product", domain="")
        return self.node("Add", [product, self.normal(f"{name}.bias", (size,), 0.1)], output, domain="")

    def norm(self, source: str, name: str) -> str:
        more = {"axis": -1, "epsilon": EPSILON, "stash_type": 1}
        scale = self.constant(f"{name}.scale", np.ones(self.shape.hidden, self.shape.dtype))
        return self.node("SimplifiedLayerNormalization", [source, scale], f"{name}.normed", domain="", **more)

    def skip_norm(self, stream: str, added: str, name: str) -> tuple[str, str]:
        """The norm of the sum, and the sum."""
        scale = self.constant(f"{name}.scale", np.ones(self.shape.hidden, self.shape.dtype))
        outputs = [f"{name}.normed", "", "", f"{name}.sum"]
        operation = "SkipSimplifiedLayerNormalization"
        self.nodes.append(
            helper.make_node(
                operation, [stream, added, scale], outputs, domain="com.microsoft", name=f"/{name}", epsilon=EPSILON
            )
        )
        sizes = ["batch_size", "sequence_length", self.shape.hidden]
        self.infos.extend(_value(each, self.float, sizes) for each in outputs if each)
        return outputs[0], outputs[3]

    def normal(self, name: str, size: tuple[int, ...], deviation: float) -> str:
        return self.constant(name, self.random.normal(0, deviation, size).astype(self.shape.dtype))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def _value(name: str, element_type: int, shape: list[Any]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element_type, shape)
