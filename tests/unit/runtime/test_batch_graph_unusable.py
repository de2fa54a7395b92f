"""A graph that cannot be loaded says why; one that can is closed as often as one likes."""

import dataclasses
from pathlib import Path

import onnx
import pytest

from genai_runtime.engine.batch.graph import Graph
from genai_runtime.errors import ModelUnusable
from support.engines import hello_spec
from support.tiny_decoder import TinyDecoder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyDecoder().write(tmp_path_factory.mktemp("models") / "plain")


class TestUnusable:
    def reason(self, folder: Path, rows: int = 1, **changes: object) -> tuple[str, str]:
        with pytest.raises(ModelUnusable) as error:
            Graph.load(dataclasses.replace(hello_spec(folder, **changes), model_dir=folder), rows, 64)
        return error.value.reason, error.value.message

    def test_no_folder(self, tmp_path: Path) -> None:
        assert self.reason(tmp_path / "nothing")[0] == "ModelNotFound"

    def test_another_provider(self, plain: Path) -> None:
        reason, message = self.reason(plain, provider="cuda")
        assert reason == "ModelInvalid"
        assert "cuda" in message

    def test_an_operation_that_onnx_runtime_does_not_know(self, tmp_path: Path) -> None:
        folder = TinyDecoder(external=False).write(tmp_path / "model")
        model = onnx.load(folder / "model.onnx")
        next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Segmoid"
        onnx.save(model, folder / "model.onnx")
        reason, message = self.reason(folder)
        assert reason == "ModelInvalid"
        assert "Segmoid" in message

    def test_more_rows_than_there_are_addresses(self, plain: Path) -> None:
        reason, message = self.reason(plain, rows=1 << 40)
        assert reason == "OutOfMemory"
        assert "maxBatchSize" in message


def test_closing_twice_is_harmless(plain: Path) -> None:
    graph = Graph.load(hello_spec(plain, model_dir=plain), 1, 64)
    graph.close()
    graph.close()
