"""In what precision a model is, told by its graph; and that a spec which says otherwise is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from genai_runtime.engine.loading import load
from genai_runtime.engine.worker import make_engine
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.onnx_graph import read_graph
from genai_runtime.models.precision import PRECISIONS, check_precision, graph_precision, model_precision
from support.engines import HELLO_MODEL, hello_spec
from support.tiny_decoder import TinyDecoder


def written(path: Path, nodes: list[Any], weights: list[Any]) -> Path:
    value = helper.make_tensor_value_info
    inputs, outputs = [value("x", TensorProto.FLOAT, ["n", 8])], [value("y", TensorProto.FLOAT, ["n", 8])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights)), path)
    return path


def weight(name: str, kind: int, shape: tuple[int, ...] = (8, 8)) -> Any:
    sizes = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2}
    half = kind in (TensorProto.INT4, TensorProto.UINT4)
    count = int(np.prod(shape))
    data = bytes((count + 1) // 2 if half else count * sizes.get(kind, 1))
    return helper.make_tensor(name, kind, shape, data, raw=True)


@pytest.mark.parametrize(("kind", "found"), [(np.float32, "fp32"), (np.float16, "fp16")])
def test_floats_of_a_decoder(tmp_path: Path, kind: Any, found: str) -> None:
    assert model_precision(inspect_model(TinyDecoder(dtype=kind).write(tmp_path / "model"))) == found


@pytest.mark.parametrize(("bits", "found"), [(4, "int4"), (8, "int8"), (2, "int4")])
def test_packed_weights_say_their_bits_whatever_the_embedding_is(tmp_path: Path, bits: int, found: str) -> None:
    model = onnx.load(HELLO_MODEL / "model.onnx", load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "bits":
                attribute.i = bits
    onnx.save(model, tmp_path / "model.onnx")
    assert graph_precision(read_graph(tmp_path / "model.onnx")) == found


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (TensorProto.FLOAT, "fp32"),
        (TensorProto.FLOAT16, "fp16"),
        (TensorProto.BFLOAT16, "bf16"),
        (TensorProto.INT8, "int8"),
        (TensorProto.UINT8, "int8"),
        (TensorProto.INT4, "int4"),
        (TensorProto.UINT4, "int4"),
    ],
)
@pytest.mark.parametrize("through", [(), ("DequantizeLinear",), ("DequantizeLinear", "Transpose"), ("Cast",)])
def test_a_stored_matrix_is_found_behind_what_changes_its_form(
    tmp_path: Path, kind: int, found: str, through: tuple[str, ...]
) -> None:
    names = ["w", *(f"w{number}" for number in range(len(through)))]
    forms = [helper.make_node(each, [names[n]], [names[n + 1]]) for n, each in enumerate(through)]
    nodes = [*forms, helper.make_node("MatMul", ["x", names[-1]], ["y"])]
    weights = [weight("w", kind), weight("embedding", TensorProto.FLOAT, (64, 64))]
    assert graph_precision(read_graph(written(tmp_path / "model.onnx", nodes, weights))) == found


def test_most_of_the_weights_decide(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "small"], ["z"]), helper.make_node("MatMul", ["z", "large"], ["y"])]
    weights = [weight("small", TensorProto.FLOAT, (8, 8)), weight("large", TensorProto.FLOAT16, (8, 9))]
    assert graph_precision(read_graph(written(tmp_path / "model.onnx", nodes, weights))) == "fp16"


def test_a_graph_without_products_is_told_by_its_floats(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["e", "x"], ["y"])]
    path = written(tmp_path / "model.onnx", nodes, [weight("e", TensorProto.FLOAT16)])
    assert graph_precision(read_graph(path)) == "fp16"
    assert graph_precision(read_graph(written(path, nodes, []))) == ""


@pytest.mark.model
@pytest.mark.parametrize("name", ["auto", "single"])
def test_a_model_that_is_what_was_said_is_loaded_and_says_so(tmp_path: Path, name: str) -> None:
    for said in ("", "int4"):
        engine, info = load(make_engine, name, hello_spec(tmp_path, precision=said, max_sequence_length=128))
        assert info.precision == "int4"
        engine.close()


@pytest.mark.parametrize("said", [each for each in PRECISIONS if each != "int4"])
def test_a_model_that_is_not_what_was_said_is_refused_with_both_named(tmp_path: Path, said: str) -> None:
    with pytest.raises(ModelUnusable, match=f"precision {said} was asked for, but its weights are int4") as caught:
        load(make_engine, "auto", hello_spec(tmp_path, precision=said))
    assert caught.value.reason == "InvalidSpec"


def test_a_graph_that_cannot_be_read_has_no_precision(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(HELLO_MODEL, tmp_path / "model"))
    inspected = inspect_model(folder)
    (folder / "model.onnx").write_bytes(b"\x08\x01")
    assert model_precision(inspected) == ""
    with pytest.raises(ModelUnusable, match="precision fp16 was asked for, but its graph does not tell"):
        check_precision("fp16", "", folder)
