"""Which model folders the batch engine drives, and what it says of the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from genai_runtime.engine.batch.fit import DoesNotFit, layout_of
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.onnx_graph import FLOAT, FLOAT16
from support.engines import HELLO_MODEL, hello_spec
from support.tiny_decoder import TinyDecoder

Change = Callable[[onnx.GraphProto], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return TinyDecoder().write(tmp_path / "model")


def why_not(folder: Path, provider: str = "cpu") -> str:
    with pytest.raises(DoesNotFit) as error:
        layout_of(hello_spec(folder, model_dir=folder, provider=provider))
    return str(error.value)


def change_graph(folder: Path, change: Change) -> None:
    path = folder / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model.graph)
    onnx.save(model, path)


def change_config(folder: Path, *keys: str, to: Any) -> None:
    path = folder / "genai_config.json"
    config = json.loads(path.read_text())
    at = config
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    path.write_text(json.dumps(config))


def nodes(graph: onnx.GraphProto, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == op_type]


def named(values: Any, name: str) -> Any:
    return next(each for each in values if each.name == name)


def test_the_hello_model_fits() -> None:
    layout = layout_of(hello_spec(HELLO_MODEL))
    assert (layout.input_ids, layout.attention_mask, layout.position_ids) == ("input_ids", "attention_mask", "")
    assert (layout.logits, layout.logits_type, layout.vocabulary_size) == ("logits", FLOAT, 1280)
    assert (layout.context_length, layout.heads, len(layout.cache)) == (4096, 4, 8)
    first = layout.cache[0]
    assert (first.past, first.present) == ("past_key_values.0.key", "present.0.key")
    assert (first.heads, first.head_size, first.element_type) == (2, 64, FLOAT)


def test_positions_and_float16_fit(tmp_path: Path) -> None:
    shape = TinyDecoder(positions="rotary", dtype=np.float16)
    layout = layout_of(hello_spec(tmp_path, model_dir=shape.write(tmp_path / "model")))
    assert layout.position_ids == "position_ids"
    assert {layout.logits_type, *(each.element_type for each in layout.cache)} == {FLOAT16}


def test_weights_that_adapters_replace_are_no_inputs_to_feed(tmp_path: Path) -> None:
    folder = TinyDecoder(lora_rank=0).write(tmp_path / "model")
    assert "lm_head.lora_A.weight" not in layout_of(hello_spec(folder, model_dir=folder)).graph.inputs


def test_rotary_tables_limit_the_context(tmp_path: Path) -> None:
    folder = TinyDecoder(context=300).write(tmp_path / "model")
    change_config(folder, "model", "context_length", to=4096)
    assert layout_of(hello_spec(folder, model_dir=folder)).context_length == 300


def test_another_provider_does_not_fit(folder: Path) -> None:
    assert "cuda" in why_not(folder, provider="cuda")


def test_a_missing_folder_is_no_question_of_fitting(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable):
        layout_of(hello_spec(tmp_path, model_dir=tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("keys", "to", "why"),
    [
        (("model", "vision"), {"filename": "v.onnx"}, "model.vision"),
        (("model", "speech"), {}, "model.speech"),
        (("model", "encoder"), {}, "model.encoder"),
        (("model", "decoder", "pipeline"), [], "pipeline"),
        (("model", "decoder", "sliding_window"), {"window_size": 64}, "sliding window"),
        (("model", "decoder", "session_options"), {"custom_ops_library": "x.so"}, "custom_ops_library"),
        (("model", "decoder", "run_options"), {"memory.enable_memory_arena_shrinkage": "cpu:0"}, "run_options"),
        (("model", "decoder", "inputs"), [], "decoder.inputs is not an object"),
        (("model", "decoder", "inputs", "input_ids"), "tokens", "no input tokens"),
        (("model", "decoder", "outputs", "logits"), "scores", "no output scores"),
    ],
)
def test_says_what_of_the_configuration_does_not_fit(folder: Path, keys: tuple[str, ...], to: Any, why: str) -> None:
    change_config(folder, *keys, to=to)
    assert why in why_not(folder)


def other_attention(graph: onnx.GraphProto) -> None:
    nodes(graph, "GroupQueryAttention")[1].op_type = "MultiHeadAttention"


def no_attention(graph: onnx.GraphProto) -> None:
    for node in nodes(graph, "GroupQueryAttention"):
        node.op_type = "Something"


def branch(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("If", ["condition"], ["chosen"]))


def attention_bias(graph: onnx.GraphProto) -> None:
    node = nodes(graph, "GroupQueryAttention")[0]
    node.input.extend([""] * (10 - len(node.input)) + ["bias"])


def other_input(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("conv_state", TensorProto.FLOAT, ["batch_size", 3]))


def short_ids(graph: onnx.GraphProto) -> None:
    named(graph.input, "input_ids").type.tensor_type.elem_type = TensorProto.INT32


def mask_in_attention(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Where", ["attention_mask", "a", "b"], ["masked"]))


def half_cache(graph: onnx.GraphProto) -> None:
    named(graph.input, "past_key_values.0.key").type.tensor_type.elem_type = TensorProto.BFLOAT16


def mixed_cache(graph: onnx.GraphProto) -> None:
    named(graph.output, "present.0.key").type.tensor_type.elem_type = TensorProto.FLOAT16


def shared_cache(graph: onnx.GraphProto) -> None:
    first, second = nodes(graph, "GroupQueryAttention")
    second.input[3] = first.input[3]


def inner_cache(graph: onnx.GraphProto) -> None:
    nodes(graph, "GroupQueryAttention")[0].output[1] = "not.an.output"


def flat_logits(graph: onnx.GraphProto) -> None:
    del named(graph.output, "logits").type.tensor_type.shape.dim[0]


def brain_logits(graph: onnx.GraphProto) -> None:
    named(graph.output, "logits").type.tensor_type.elem_type = TensorProto.BFLOAT16


def no_heads(graph: onnx.GraphProto) -> None:
    node = nodes(graph, "GroupQueryAttention")[0]
    node.attribute.remove(named(node.attribute, "num_heads"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_attention, "MultiHeadAttention"),
        (no_attention, "no GroupQueryAttention"),
        (branch, "different ways for different lengths (If)"),
        (attention_bias, "attention bias"),
        (other_input, "conv_state"),
        (short_ids, "input_ids is not a matrix of int64"),
        (mask_in_attention, "Where reads attention_mask"),
        (half_cache, "past_key_values.0.key is not of float32 or float16"),
        (mixed_cache, "past_key_values.0.key is not of float32 or float16"),
        (shared_cache, "two layers share"),
        (inner_cache, "does not take its past from an input"),
        (flat_logits, "logits is not a float32"),
        (brain_logits, "logits is not a float32"),
        (no_heads, "a size that is needed"),
    ],
)
def test_says_what_of_the_graph_does_not_fit(folder: Path, change: Change, why: str) -> None:
    change_graph(folder, change)
    assert why in why_not(folder)


def test_sizes_that_the_graph_leaves_open_come_from_the_configuration(folder: Path) -> None:
    def leave_open(graph: onnx.GraphProto) -> None:
        sizes = named(graph.input, "past_key_values.0.key").type.tensor_type.shape.dim
        sizes[1].dim_param, sizes[3].dim_param = "heads", "size"
        named(graph.output, "logits").type.tensor_type.shape.dim[2].dim_param = "vocabulary"

    change_graph(folder, leave_open)
    layout = layout_of(hello_spec(folder, model_dir=folder))
    assert (layout.cache[0].heads, layout.cache[0].head_size) == (2, 16)
    assert layout.vocabulary_size == TinyDecoder().vocabulary
    change_config(folder, "model", "decoder", "head_size", to=None)
    assert "a size that is needed" in why_not(folder)
