"""The KV cache in blocks that `og.Engine`'s dynamic batching wants, in plain ONNX operators.

ONNX Runtime has no paged attention for the CPU, and GenAI's builder makes no such graph for it: without this there
would be no `og.Engine` to compare with. Tokens of all requests of a run lie one after the other.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from bench.serving.graph import MICROSOFT, Parts
from bench.serving.shape import Shape


class Paged:
    """Scatters new keys and values into their blocks, gathers each request's context, attends with a mask."""

    opset = 23  # the operator Attention

    def __init__(self, shape: Shape, block_tokens: int) -> None:
        self._shape = shape
        self._block_tokens = block_tokens

    def inputs(self) -> list[ValueInfoProto]:
        info = helper.make_tensor_value_info
        return [
            info("input_ids", TensorProto.INT64, ["num_tokens"]),
            info("cumulative_sequence_lengths", TensorProto.INT32, ["batch_size_plus_1"]),
            info("past_sequence_lengths", TensorProto.INT32, ["batch_size"]),
            info("block_table", TensorProto.INT32, ["batch_size", "max_num_blocks"]),
            *self._caches("past_key_values"),
        ]

    def outputs(self) -> list[ValueInfoProto]:
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["num_tokens", self._shape.vocabulary])
        return [logits, *self._caches("present")]

    def prepare(self, parts: Parts) -> str:
        _Indices(parts, self._shape, self._block_tokens).write()
        return parts.node("Unsqueeze", ["input_ids", "axis_0"], "ids")

    def layer(self, parts: Parts, number: int, projected: str) -> str:
        name = f"/model/layers.{number}/attn"
        new = [f"{name}/{kind}" for kind in ("query", "key", "value")]
        parts.node("Split", [projected, "widths"], new, axis=2)
        query, key = (
            self._rotate(parts, each, heads)
            for each, heads in zip(new, (self._shape.heads, self._shape.kv_heads), strict=False)
        )
        context = [self._store(parts, number, kind, each) for kind, each in (("key", key), ("value", new[2]))]
        flat = parts.node("Squeeze", [query, "axis_0"], f"{name}/query/flat")
        padded = parts.node("Gather", [flat, "token_of_row"], f"{name}/query/padded", axis=0)
        mixed = parts.node(
            "Attention",
            [padded, *context, "visible"],
            f"{name}/Attention",
            q_num_heads=self._shape.heads,
            kv_num_heads=self._shape.kv_heads,
            scale=self._shape.head_size**-0.5,
        )
        packed = parts.node("GatherND", [mixed, "row_and_place"], f"{name}/packed")
        return parts.node("Unsqueeze", [packed, "axis_0"], f"{name}/output_0")

    def finish(self, parts: Parts, logits: str) -> None:
        parts.node("Squeeze", [logits, "axis_0"], "logits")

    def _rotate(self, parts: Parts, x: str, heads: int) -> str:
        tables = ["positions", "cos_cache", "sin_cache"]
        return parts.node("RotaryEmbedding", [x, *tables], f"{x}/rotated", MICROSOFT, num_heads=heads, interleaved=0)

    def _store(self, parts: Parts, number: int, kind: str, new: str) -> str:
        """Puts new keys or values into the cache; each request's, [batch, context, width]."""
        name = f"/model/layers.{number}/attn/{kind}"
        heads = parts.node("Reshape", [new, "heads_shape"], f"{name}/heads")
        past, present = f"past_key_values.{number}.{kind}", f"present.{number}.{kind}"
        parts.node("ScatterND", [past, "block_and_offset", heads], present)
        flat = parts.node("Reshape", [present, "flat_shape"], f"{name}/flat")
        return parts.node("Gather", [flat, "context_slots"], f"{name}/context", axis=0)

    def _caches(self, prefix: str) -> list[ValueInfoProto]:
        shape: list[str | int | None] = ["num_blocks", self._block_tokens, self._shape.kv_heads, self._shape.head_size]
        return [
            helper.make_tensor_value_info(f"{prefix}.{number}.{kind}", TensorProto.FLOAT, shape)
            for number in range(self._shape.layers)
            for kind in ("key", "value")
        ]


class _Indices:
    """From the engine's three integer inputs: which request, position and block each token of a run belongs to."""

    def __init__(self, parts: Parts, shape: Shape, block_tokens: int) -> None:
        self._parts = parts
        self._shape = shape
        self._block_tokens = block_tokens

    def write(self) -> None:
        self._constants()
        for name, source in (
            ("bounds", "cumulative_sequence_lengths"),
            ("pasts", "past_sequence_lengths"),
            ("table", "block_table"),
        ):
            self._node("Cast", [source], name, to=TensorProto.INT64)
        self._tokens()
        self._context()
        self._rows()

    def _constants(self) -> None:
        shape = self._shape
        numbers: dict[str, Any] = {
            "zero": 0,
            "one": 1,
            "axis_0": [0],
            "axis_1": [1],
            "from_0": [0],
            "from_1": [1],
            "to_last": [-1],
            "to_end": [2**31],
            "block_tokens": self._block_tokens,
            "widths": [shape.hidden, shape.kv_width, shape.kv_width],
            "heads_shape": [-1, shape.kv_heads, shape.head_size],
            "flat_shape": [-1, shape.kv_width],
        }
        for name, value in numbers.items():
            self._parts.tensor(name, np.array(value, np.int64))

    def _tokens(self) -> None:
        """Of each token: its row, its place among the row's new tokens, its position, its block and offset."""
        self._node("Shape", ["input_ids"], "count_1")
        self._node("Squeeze", ["count_1", "axis_0"], "count")
        self._node("Range", ["zero", "count", "one"], "numbers")
        self._node("Slice", ["bounds", "from_0", "to_last", "axis_0"], "starts")
        self._node("Slice", ["bounds", "from_1", "to_end", "axis_0"], "ends")
        self._node("Sub", ["ends", "starts"], "news")
        self._node("Unsqueeze", ["numbers", "axis_1"], "numbers_down")
        self._node("Unsqueeze", ["ends", "axis_0"], "ends_across")
        self._node("LessOrEqual", ["ends_across", "numbers_down"], "row_ended")
        self._node("Cast", ["row_ended"], "row_ended_number", to=TensorProto.INT64)
        self._node("ReduceSum", ["row_ended_number", "axis_1"], "rows", keepdims=0)
        self._node("Gather", ["starts", "rows"], "token_starts")
        self._node("Sub", ["numbers", "token_starts"], "places")
        self._node("Gather", ["pasts", "rows"], "token_pasts")
        self._node("Add", ["token_pasts", "places"], "position")
        self._node("Unsqueeze", ["position", "axis_0"], "positions")
        self._node("Div", ["position", "block_tokens"], "block_number")
        self._node("Mod", ["position", "block_tokens"], "offset")
        self._pair("rows", "block_number", "row_and_block")
        self._node("GatherND", ["table", "row_and_block"], "block")
        self._pair("block", "offset", "block_and_offset")
        self._pair("rows", "places", "row_and_place")

    def _context(self) -> None:
        """Slots [rows, longest context] of the cache. Unused entries of the table are -1; they are masked later."""
        self._node("Add", ["pasts", "news"], "totals")
        self._node("ReduceMax", ["totals", "axis_0"], "longest", keepdims=0)
        self._node("Range", ["zero", "longest", "one"], "context")
        self._node("Div", ["context", "block_tokens"], "context_block")
        self._node("Mod", ["context", "block_tokens"], "context_offset")
        self._node("Gather", ["table", "context_block"], "context_table", axis=1)
        self._node("Max", ["context_table", "zero"], "context_table_used")
        self._node("Mul", ["context_table_used", "block_tokens"], "context_first")
        self._node("Add", ["context_first", "context_offset"], "context_slots")

    def _rows(self) -> None:
        """Queries padded to [rows, most new tokens], and what each may see."""
        self._node("ReduceMax", ["news", "axis_0"], "most", keepdims=0)
        self._node("Range", ["zero", "most", "one"], "row_places")
        self._node("Unsqueeze", ["row_places", "axis_0"], "row_places_across")
        self._node("Unsqueeze", ["starts", "axis_1"], "starts_down")
        self._node("Add", ["starts_down", "row_places_across"], "token_unbounded")
        self._node("Sub", ["count", "one"], "last_token")
        self._node("Min", ["token_unbounded", "last_token"], "token_of_row")
        self._node("Unsqueeze", ["pasts", "axis_1"], "pasts_down")
        self._node("Add", ["pasts_down", "row_places_across"], "row_positions")
        self._parts.tensor("axes_1_3", np.array([1, 3], np.int64))
        self._node("Unsqueeze", ["row_positions", "axes_1_3"], "row_positions_4d")
        self._node("LessOrEqual", ["context", "row_positions_4d"], "visible")

    def _pair(self, first: str, second: str, output: str) -> None:
        """Two index vectors side by side."""
        for each in (first, second):
            self._node("Unsqueeze", [each, "axis_1"], f"{output}/{each}")
        self._node("Concat", [f"{output}/{first}", f"{output}/{second}"], output, axis=1)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._parts.node(kind, inputs, output, **attributes)
