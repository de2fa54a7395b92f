"""Reading ONNX files without their weights, and the one change that is made to a decoder's graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from genai_runtime.models.onnx_graph import OnnxGraph, read_graph
from genai_runtime.models.onnx_positions import POSITIONS_INPUT, with_positions_input
from genai_runtime.models.onnx_wire import NotOnnx, number_field, signed, varint
from support.engines import HELLO_MODEL
from support.tiny_decoder import TinyDecoder

ATTENTION = "GroupQueryAttention"


def sizes(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    return tuple(each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim)


def plain_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    kinds = {onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT, onnx.AttributeProto.STRING}
    found = {each.name: helper.get_attribute_value(each) for each in node.attribute if each.type in kinds}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


@pytest.fixture(params=["hello", "tiny", "inside"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "hello":
        return HELLO_MODEL / "model.onnx"
    shape = TinyDecoder(external=request.param == "tiny", lora_rank=0, positions="rotary")
    return shape.write(tmp_path / "model") / "model.onnx"


def test_reads_what_onnx_reads(path: Path) -> None:
    found, expected = read_graph(path), onnx.load(path, load_external_data=False).graph
    assert [(node.op_type, node.domain, node.inputs, node.outputs) for node in found.nodes] == [
        (node.op_type, node.domain, list(node.input), list(node.output)) for node in expected.node
    ]
    assert [node.attributes for node in found.nodes] == [plain_attributes(node) for node in expected.node]
    weights = {each.name for each in expected.initializer}
    for ours, theirs in (
        (found.inputs, [each for each in expected.input if each.name not in weights]),
        (found.outputs, expected.output),
        (found.value_infos, expected.value_info),
    ):
        assert {name: (each.element_type, each.shape) for name, each in ours.items()} == {
            each.name: (each.type.tensor_type.elem_type, sizes(each)) for each in theirs
        }
    assert {name: (each.element_type, each.shape) for name, each in found.initializers.items()} == {
        each.name: (each.data_type, tuple(each.dims)) for each in expected.initializer
    }


def test_refuses_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for content in (b"", b"junk", number_field(1, 10), onnx.ModelProto(ir_version=10).SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(NotOnnx):
            read_graph(path)


@given(st.binary(max_size=200), st.integers(0, 30_000))
@settings(max_examples=200, deadline=None)
def test_a_broken_file_is_never_anything_but_not_onnx(tmp_path_factory: Any, noise: bytes, at: int) -> None:
    content = bytearray((HELLO_MODEL / "model.onnx").read_bytes())
    at %= len(content)
    content[at : at + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / "broken.onnx"
    path.write_bytes(content)
    try:
        graph = read_graph(path)
        with_positions_input(bytes(content), graph, ATTENTION, "logits")
    except NotOnnx:
        return
    assert isinstance(graph, OnnxGraph)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_survive_the_wire(value: int) -> None:
    field = number_field(1, value)
    assert signed(varint(field, 1, len(field))[0]) == value


def edited(path: Path) -> onnx.ModelProto | None:
    content = with_positions_input(path.read_bytes(), read_graph(path), ATTENTION, "logits")
    return None if content is None else onnx.load_from_string(content)


def test_the_edited_model_is_valid_and_otherwise_the_same(path: Path) -> None:
    before, after = onnx.load(path, load_external_data=False), edited(path)
    assert after is not None
    gathers = [node for node in after.graph.node if node.op_type == "Gather" and POSITIONS_INPUT in node.input]
    last = [node for node in before.graph.node if node.op_type == ATTENTION][-1]
    assert last.output[0] in {node.input[0] for node in gathers}
    assert len(gathers) == 2
    assert all(plain_attributes(node) == {"axis": 1} for node in gathers)
    assert [node for node in after.graph.node if node not in gathers and node in before.graph.node] == [
        node for node in before.graph.node if node in after.graph.node
    ]
    assert len(after.graph.node) == len(before.graph.node) + 2
    assert after.graph.initializer == before.graph.initializer
    assert [each.name for each in after.graph.input] == [*(each.name for each in before.graph.input), POSITIONS_INPUT]
    logits = next(each for each in after.graph.output if each.name == "logits")
    assert sizes(logits)[1] == POSITIONS_INPUT
    made: set[str] = {each.name for each in [*after.graph.input, *after.graph.initializer]} | {""}
    for node in after.graph.node:
        assert set(node.input) <= made, node.name
        made |= set(node.output)


def test_shapes_noted_behind_the_cut_go_and_others_stay(path: Path) -> None:
    before, after = onnx.load(path, load_external_data=False), edited(path)
    assert after is not None
    gone = {each.name for each in before.graph.value_info} - {each.name for each in after.graph.value_info}
    tail = {name for node in after.graph.node for name in node.output if node.op_type not in ("Gather", ATTENTION)}
    assert gone <= tail
    last = [node for node in before.graph.node if node.op_type == ATTENTION][-1]
    position = list(before.graph.node).index(last)
    early = {name for node in list(before.graph.node)[:position] for name in node.output}
    assert not gone & early
    kept = {each.name for each in after.graph.value_info}
    late = {name for node in list(before.graph.node)[position + 1 :] for name in node.output}
    assert not kept & late


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_any_number_of_layers(tmp_path: Path, layers: int) -> None:
    assert edited(TinyDecoder(layers=layers).write(tmp_path / "model") / "model.onnx") is not None


def change_and_edit(tmp_path: Path, change: Any, **shape: Any) -> onnx.ModelProto | None:
    path = TinyDecoder(external=False, **shape).write(tmp_path / "model") / "model.onnx"
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    return edited(path)


def test_leaves_a_tail_alone_that_mixes_positions(tmp_path: Path) -> None:
    assert change_and_edit(tmp_path, lambda graph: None, tail="reshape") is None


def test_leaves_a_graph_alone_whose_tail_gives_more_than_logits(tmp_path: Path) -> None:
    def another_output(graph: onnx.GraphProto) -> None:
        shape = ["batch_size", "sequence_length", 64]
        graph.output.append(helper.make_tensor_value_info("layers.1.next.normed", onnx.TensorProto.FLOAT, shape))

    assert change_and_edit(tmp_path, another_output) is None


def test_leaves_a_graph_alone_with_a_second_stream_into_the_tail(tmp_path: Path) -> None:
    def another_stream(graph: onnx.GraphProto) -> None:
        node = next(node for node in graph.node if node.output[0] == "layers.1.mlp.up.out")
        node.op_type, node.input[1] = "Add", "layers.0.post.normed"

    assert change_and_edit(tmp_path, another_stream) is None


def test_leaves_a_softmax_over_positions_alone(tmp_path: Path) -> None:
    def softmax(graph: onnx.GraphProto) -> None:
        node = next(node for node in graph.node if node.output[0] == "layers.1.mlp.sigmoid")
        node.op_type = "Softmax"
        node.attribute.append(helper.make_attribute("axis", 1))

    assert change_and_edit(tmp_path, softmax) is None


def test_leaves_an_input_of_that_name_alone(tmp_path: Path) -> None:
    def same_name(graph: onnx.GraphProto) -> None:
        graph.input.append(helper.make_tensor_value_info(POSITIONS_INPUT, onnx.TensorProto.INT64, [1]))

    assert change_and_edit(tmp_path, same_name) is None


def test_weights_that_are_computed_from_weights_are_no_stream(tmp_path: Path) -> None:
    def transposed(graph: onnx.GraphProto) -> None:
        weight = next(each for each in graph.initializer if each.name == "lm_head.weight")
        turned = numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(weight).T), "turned")
        graph.initializer.remove(weight)
        graph.initializer.append(turned)
        graph.node.insert(0, helper.make_node("Transpose", ["turned"], ["lm_head.weight"]))

    assert change_and_edit(tmp_path, transposed) is not None


def test_no_attention_is_left_alone(tmp_path: Path) -> None:
    path = TinyDecoder().write(tmp_path / "model") / "model.onnx"
    assert with_positions_input(path.read_bytes(), read_graph(path), "Attention", "logits") is None
