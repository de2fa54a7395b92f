"""Options that ONNX Runtime takes and that change nothing here, so that there is no field for them.

When one of these fails after an upgrade, the option has an effect: it deserves a field, and its row in the tables of
parameters another state.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from genai_runtime.engine import ort
from support.session_effects import arena

pytestmark = pytest.mark.model
ALLOCATOR = "session.use_device_allocator_for_initializers"
SIZE, LAYERS = 256, 4


def weighty() -> bytes:
    """A model that is nothing but weights."""
    weights = [numpy_helper.from_array(np.eye(SIZE, dtype=np.float32), f"w{layer}") for layer in range(LAYERS)]
    nodes = [helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"]) for layer in range(LAYERS)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, SIZE]) for name in ("x0", f"x{LAYERS}")]
    graph = helper.make_graph(nodes, "weighty", ends[:1], ends[1:], weights)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_weights_lie_outside_the_arenas_chunks_whoever_allocates_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "SESSION_CONFIG_KEYS", ort.SESSION_CONFIG_KEYS | {ALLOCATOR})
    found = []
    for value in ("0", "1"):
        with ort.SessionOptions(threads=1, config={ALLOCATOR: value}) as options:
            session = ort.Session(weighty(), options)
        found.append(arena(session))
        session.close()
    assert found[0] == found[1]
    assert found[0]["NumArenaExtensions"] == 0
    assert found[0]["NumReserves"] >= LAYERS
