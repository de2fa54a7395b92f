"""A model folder's twin in fp16, for devices whose attention takes no fp32. The quantised weights stay as they are."""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def half_precision(folder: Path, target: Path) -> Path:
    """Copy `folder` to `target`, with every float32 of its graph a float16."""
    shutil.copytree(folder, target)
    path = target / "model.onnx"
    model = onnx.load(path)
    graph = model.graph
    for number, weight in enumerate(graph.initializer):
        if weight.data_type == TensorProto.FLOAT:
            halved = numpy_helper.to_array(weight).astype(np.float16)
            graph.initializer[number].CopyFrom(numpy_helper.from_array(halved, weight.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                halved = numpy_helper.to_array(attribute.t).astype(np.float16)
                attribute.t.CopyFrom(numpy_helper.from_array(halved))
    (target / "model.onnx.data").unlink(missing_ok=True)
    onnx.save(model, path)
    return target
