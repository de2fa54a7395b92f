"""What a source has to have: each defect has its own words and a remedy, before anything is built."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from genai_builder.request import request_of
from genai_builder.size import built_size
from genai_builder.source_folder import read_source
from genai_runtime.errors import ModelUnusable
from support.hello_source import CONFIG, write_source

Damage = Callable[[Path], object]


def config(**changes: object) -> Damage:
    """config.json with other fields; None takes one away."""

    def write(folder: Path) -> None:
        fields = {name: value for name, value in (CONFIG | changes).items() if value is not None}
        (folder / "config.json").write_text(json.dumps(fields))

    return write


def only(name: str) -> Damage:
    """The weights are in a file of another kind."""
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def sharded(*shards: str) -> Damage:
    """The weights are in a file with an index that names these."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        weight_map = {f"tensor{number}": name for number, name in enumerate(shards)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def headless(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 50) + b"{")


def quantised(folder: Path) -> None:
    save_file({"model.layers.0.q_proj.weight": np.zeros((2, 2), dtype=np.uint8)}, str(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "there is no config.json in"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not valid JSON"),
        (config(architectures=None), "does not say its architectures"),
        (config(architectures=["T5Model"]), "the architecture 'T5Model', which the model builder does not make"),
        (config(architectures=["WhisperForConditionalGeneration"]), "which the model builder does not make"),
        (config(vocab_size="many"), "vocab_size is 'many', not a positive number"),
        (config(num_hidden_layers=0), "num_hidden_layers is '0', not a positive number"),
        (config(quantization_config={"quant_method": "awq"}), "quantised already"),
        (config(vocab_size=100), "TokenizerVocabulary"),
        (only("pytorch_model.bin"), "can run code when they are opened"),
        (only("weights.gguf"), "GGUF"),
        (only("model.onnx"), "a model for ONNX Runtime already"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there are no weights"),
        (sharded("model-1.safetensors", "model-2.safetensors"), "'model-2.safetensors' is missing"),
        (sharded("../model-1.safetensors"), "which is no safetensors file beside it"),
        (cut, "'model.safetensors' is no whole safetensors file"),
        (headless, "'model.safetensors' is no whole safetensors file"),
        (quantised, "is 'U8': the weights are quantised already"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "there is no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "has no vocabulary"),
        (lambda folder: (folder / "out.json").symlink_to("/etc/passwd"), "LinkOutside"),
    ],
)
def test_what_cannot_be_built_of_is_told_before(tmp_path: Path, damage: Damage, said: str) -> None:
    folder = write_source(tmp_path / "source")
    damage(folder)
    with pytest.raises(ModelUnusable, match=re.escape(said)) as refused:
        read_source(folder)
    assert refused.value.reason == "ModelInvalid"


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable) as refused:
        read_source(tmp_path / "nothing")
    assert refused.value.reason == "ModelNotFound"


def test_the_builder_sees_no_code_no_pickle_and_no_adapter(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "source")
    for name in ("modeling.py", "pytorch_model.bin", "adapter_config.json", "adapter_model.safetensors", "evil.so"):
        (folder / name).write_text("{}")
    source = read_source(folder)
    assert set(source.files) == {
        *("chat_template.jinja", "config.json", "generation_config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }


def test_what_a_whole_source_is(tmp_path: Path) -> None:
    source = read_source(write_source(tmp_path / "source", {"temperature": 0.7}))
    assert (source.architecture, source.layers, source.vocabulary_size) == ("LlamaForCausalLM", 4, 1280)
    assert source.context_length == 4096
    assert source.parameters == 3_016_960
    assert source.generation["temperature"] == 0.7


def test_a_model_in_parts_is_read_as_one(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "source")
    whole = read_source(folder).parameters
    sharded("model-1.safetensors")(folder)
    source = read_source(folder)
    assert source.parameters == whole
    assert "model-1.safetensors" in source.files


def test_the_text_part_of_a_larger_model_counts(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "source")
    inner = {"num_hidden_layers": 2, "vocab_size": 1300, "max_position_embeddings": 99}
    config(text_config=inner, num_hidden_layers=None, vocab_size=None)(folder)
    source = read_source(folder)
    assert (source.layers, source.vocabulary_size, source.context_length) == (2, 1300, 99)


def test_the_size_is_estimated_from_above_and_grows_with_precision(tmp_path: Path) -> None:
    source = read_source(write_source(tmp_path / "source"))
    asked = [request_of("cpu", "int4", 256), request_of("cpu", "int4", 16), request_of("cpu", "int8")]
    sizes = [built_size(source, each) for each in (*asked, request_of("cpu", "fp32"))]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4
    assert built_size(source, request_of("cpu", "int4")) > 4_154_815  # the committed model
