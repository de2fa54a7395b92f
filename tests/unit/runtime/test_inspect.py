"""What is wrong with a model folder is said with the file's name, before an engine opens it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.external_data import external_data
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.onnx_wire import NotOnnx
from support.engines import HELLO_MODEL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HELLO_MODEL, tmp_path / "model"))


def test_a_good_folder_is_described(folder: Path) -> None:
    found = inspect_model(folder)
    config = json.loads((folder / "genai_config.json").read_text())["model"]
    assert found.architecture == config["type"]
    assert found.context_length == config["context_length"]
    assert found.vocabulary_size == config["vocab_size"]
    assert found.eos_token_ids == config["eos_token_id"]
    assert found.size_bytes == sum((folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))


def test_the_weights_file_is_found_in_the_graph() -> None:
    (found,) = external_data(HELLO_MODEL / "model.onnx")
    assert found.location == "model.onnx.data"
    assert 0 < found.end <= (HELLO_MODEL / "model.onnx.data").stat().st_size


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="does not exist") as caught:
        inspect_model(tmp_path / "nothing")
    assert caught.value.reason == "ModelNotFound"


def _config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "genai_config.json"
        config = json.loads(path.read_text())
        change(config["model"])
        path.write_text(json.dumps(config))

    return apply


def _rename_weights(folder: Path, name: str) -> None:
    """Same length, so that the graph stays well formed."""
    graph = folder / "model.onnx"
    assert len(name) == len("model.onnx.data")
    graph.write_bytes(graph.read_bytes().replace(b"model.onnx.data", name.encode()))


def _link_out(folder: Path) -> None:
    weights = folder / "model.onnx.data"
    weights.rename(folder.parent / "elsewhere")
    weights.symlink_to(folder.parent / "elsewhere")


def _truncate(name: str, keep: float) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return apply


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "genai_config.json").unlink(), "genai_config.json is missing"),
        (lambda f: (f / "genai_config.json").write_text("{"), "genai_config.json is not valid JSON"),
        (lambda f: (f / "genai_config.json").write_text("[]"), "NotJson: genai_config.json is not a JSON object"),
        (lambda f: (f / "genai_config.json").write_text("{}"), 'genai_config.json has no object "model"'),
        (lambda f: (f / "genai_config.json").write_bytes(b"\xff\xfe"), "NotUtf8: genai_config.json is not UTF-8"),
        (lambda f: (f / "genai_config.json").write_text("[" * 100_000), "JsonTooDeep: genai_config.json"),
        (_config(lambda m: m.pop("type")), "model.type is missing"),
        (_config(lambda m: m.pop("decoder")), '"decoder"'),
        (_config(lambda m: m["decoder"].pop("filename")), "model.decoder.filename is missing"),
        (_config(lambda m: m["decoder"].update(filename="../x.onnx")), "not inside the model folder"),
        (_config(lambda m: m["decoder"].update(filename="/etc/passwd")), "not inside the model folder"),
        (_config(lambda m: m.update(vocab_size="many")), "model.vocab_size must be a whole number"),
        (_config(lambda m: m.update(context_length=0)), "model.context_length is 0; it must be above 0"),
        (_config(lambda m: m.update(eos_token_id=99999)), "model.eos_token_id 99999"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "tokenizer.json").write_text("nope"), "tokenizer.json is not valid JSON"),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json is not a JSON object"),
        (lambda f: (f / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda f: (f / "model.onnx").write_bytes(b""), "model.onnx: it is empty"),
        (
            lambda f: (f / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1"),
            "model.onnx: it is not",
        ),
        (_truncate("model.onnx", 0.5), "model.onnx: it is not an ONNX model, or it is cut off"),
        (lambda f: (f / "model.onnx.data").unlink(), "ExternalDataMissing: 'model.onnx.data' is missing"),
        (_truncate("model.onnx.data", 0.9), "model.onnx.data is cut off"),
        (lambda f: _rename_weights(f, "../../etc/passw"), "not inside the model folder"),
        (lambda f: _rename_weights(f, "/etc/passwd-abc"), "not inside the model folder"),
        (_link_out, "a link out of the folder"),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder)
    with pytest.raises(ModelUnusable) as caught:
        inspect_model(folder)
    assert caught.value.reason == "ModelInvalid"
    assert said in caught.value.message


def test_no_cut_of_a_graph_is_more_than_refused(tmp_path: Path) -> None:
    data = (HELLO_MODEL / "model.onnx").read_bytes()
    cut = tmp_path / "model.onnx"
    refused = 0
    for length in range(1, len(data), 501):
        cut.write_bytes(data[:length])
        try:
            external_data(cut)
        except NotOnnx:
            refused += 1
    assert refused > 0
