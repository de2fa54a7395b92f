"""The text that quality is measured on, and the measurement of a built model by ONNX Runtime itself."""

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from genai_builder import measure_built
from genai_builder.evaluation import Evaluation, evaluation_of, read_windows, write_windows
from genai_builder.quality import Window, perplexity
from genai_runtime.errors import InvalidSettings
from support.engines import HELLO_MODEL

TOKENIZER = HELLO_MODEL / "tokenizer.json"


def test_the_texts_name_and_key_follow_its_content(tmp_path: Path) -> None:
    own = evaluation_of(None, 100)
    assert own.name == "default"
    assert len(own.text) > 4000
    (tmp_path / "a").write_text("Some text.")
    one = evaluation_of(tmp_path / "a", 100)
    assert one.name.startswith("sha256:")
    assert len({each.key for each in (own, one, evaluation_of(tmp_path / "a", 99))}) == 3


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"\xff", "is not UTF-8 at byte 0"), (b" \n", "is empty")]
)
def test_a_text_that_is_none_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    with pytest.raises(InvalidSettings, match=said):
        evaluation_of(tmp_path / "text", 100)


def test_so_many_tokens_count(tmp_path: Path) -> None:
    found = evaluation_of(None, 600).windows(TOKENIZER, 1280)
    assert sum(each.scored for each in found) == 599  # the first has none before it: this tokenizer adds no token
    write_windows(tmp_path / "windows", found)
    assert read_windows(tmp_path / "windows") == found


def test_what_cannot_be_measured_says_why() -> None:
    with pytest.raises(ValueError, match="too few to measure"):
        Evaluation("", "x").windows(TOKENIZER, 1280)
    with pytest.raises(ValueError, match="beyond the vocabulary of 40"):
        Evaluation("Hello", "x").windows(TOKENIZER, 40)
    with pytest.raises(ValueError, match="the tokenizer cannot be read"):
        Evaluation("Hello", "x").windows(HELLO_MODEL / "genai_config.json", 1280)


@pytest.mark.model
def test_the_built_model_is_measured_as_onnx_runtime_computes_it(tmp_path: Path) -> None:
    window = Window(tuple(range(10, 90)), 5)
    write_windows(tmp_path / "windows", [window])
    measure_built.main(str(HELLO_MODEL), "cpu", str(tmp_path / "windows"), str(tmp_path / "result"))
    total = json.loads((tmp_path / "result").read_text())["total"]
    session = onnxruntime.InferenceSession(str(HELLO_MODEL / "model.onnx"), providers=["CPUExecutionProvider"])
    empty = np.zeros((1, 2, 0, 64), dtype=np.float32)
    feed = {each.name: empty for each in session.get_inputs() if each.name.startswith("past_")}
    feed["input_ids"] = np.asarray([window.tokens], dtype=np.int64)
    feed["attention_mask"] = np.ones((1, len(window.tokens)), dtype=np.int64)
    logits = session.run(["logits"], feed)[0][0].astype(np.float64)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    wanted = -sum(math.log(chances[place - 1, window.tokens[place]]) for place in range(5, len(window.tokens)))
    assert perplexity(total, window.scored) == pytest.approx(perplexity(wanted, window.scored), rel=1e-3)


def test_a_provider_that_is_not_here_is_not_measured(tmp_path: Path) -> None:
    write_windows(tmp_path / "windows", [Window((1, 2), 1)])
    measure_built.main(str(HELLO_MODEL), "cuda", str(tmp_path / "windows"), str(tmp_path / "result"))
    assert "no cuda provider" in json.loads((tmp_path / "result").read_text())["notMeasured"]
