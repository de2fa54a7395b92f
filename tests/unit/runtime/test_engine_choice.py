"""Which engine serves a model, why, and what is refused where only another engine could do it."""

import json
import shutil
from pathlib import Path

import pytest

from genai_runtime.engine.batch import fit
from genai_runtime.engine.worker import make_engine
from genai_runtime.errors import EngineFailure, ModelUnusable
from genai_runtime.models.onnx_graph import OnnxGraph, read_graph
from support.engines import HELLO_MODEL, hello_spec


def test_auto_takes_batch_where_it_can(tmp_path: Path) -> None:
    engine, reason = make_engine("auto", hello_spec(tmp_path))
    assert type(engine).__name__ == "BatchEngine"
    assert "auto takes batch" in reason
    assert type(make_engine("batch", hello_spec(tmp_path))[0]).__name__ == "BatchEngine"


def test_a_start_reads_the_graph_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large model that takes seconds."""
    read: list[Path] = []

    def reading(path: Path) -> OnnxGraph:
        read.append(path)
        return read_graph(path)

    monkeypatch.setattr(fit, "read_graph", reading)
    spec = hello_spec(tmp_path, max_sequence_length=128, max_concurrent=2)
    engine, _ = make_engine("auto", spec)
    engine.load(spec)
    engine.close()
    assert read == [HELLO_MODEL / "model.onnx"]


def _with_pictures(folder: Path) -> Path:
    shutil.copytree(HELLO_MODEL, folder)
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["vision"] = {}
    (folder / "genai_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("why", ["text-only decoders", "the CPU only"])
def test_auto_takes_single_and_says_why(tmp_path: Path, why: str) -> None:
    if why == "text-only decoders":
        spec = hello_spec(tmp_path, model_dir=_with_pictures(tmp_path / "model"))
    else:
        spec = hello_spec(tmp_path, provider="cuda")
    engine, reason = make_engine("auto", spec)
    assert type(engine).__name__ == "SingleEngine"
    assert why in reason
    with pytest.raises(ModelUnusable, match=f"batch was asked for.*{why}.*use auto or single") as caught:
        make_engine("batch", spec)
    assert caught.value.reason == "ModelInvalid"


def test_a_folder_that_nothing_can_serve_is_refused_as_such(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(HELLO_MODEL, tmp_path / "model"))
    (folder / "genai_config.json").unlink()
    with pytest.raises(ModelUnusable, match=r"genai_config\.json"):
        make_engine("auto", hello_spec(tmp_path, model_dir=folder))


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"speculation": "ngram"}, "speculation ngram"), ({"kv_cache_bytes": 1 << 30}, "KV cache of a given size")],
)
def test_single_refuses_what_only_batch_does(tmp_path: Path, asked: dict[str, object], words: str) -> None:
    with pytest.raises(ModelUnusable, match=f"{words} need the engine batch"):
        make_engine("single", hello_spec(tmp_path, **asked))


def test_an_unknown_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="no engine 'x'"):
        make_engine("x", hello_spec(tmp_path))
