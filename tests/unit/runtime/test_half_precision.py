"""The twin in fp16 that the GPU tests run says what the hello model says: so they compare devices, not models."""

from pathlib import Path

import pytest

from genai_runtime.engine.single import SingleEngine
from genai_runtime.models.onnx_graph import FLOAT16, read_graph
from support.engines import HELLO_MODEL, hello_spec, request, run_engine, tokens_of
from support.half_precision import half_precision
from support.hello_prompts import questions

pytestmark = pytest.mark.model


def test_the_twin_says_the_same(tmp_path: Path) -> None:
    twin = half_precision(HELLO_MODEL, tmp_path / "model")
    graph = read_graph(twin / "model.onnx")
    assert {each.element_type for name, each in graph.inputs.items() if "past" in name} == {FLOAT16}
    said = []
    for folder in (HELLO_MODEL, twin):
        engine = SingleEngine()
        engine.load(hello_spec(tmp_path, model_dir=folder))
        for number, prompt in enumerate(questions()[:3]):
            engine.submit(request(str(number), prompt, 16))
        events = run_engine(engine)
        said.append([tokens_of(events, str(number)) for number in range(3)])
        engine.close()
    assert said[0] == said[1]
    assert all(said[0])
