"""The benchmark model in every form that is measured, made once and kept in the cache; and what its rounding costs.

Perplexities are of one text that was drawn from the float model itself: on it the float model's perplexity is the
lowest that any model can have, and what the others have above it is the loss by their rounding alone. Absolute values
mean nothing: the weights are random.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bench.serving.gguf_twin import read_gguf, write_gguf
from bench.serving.int4 import rounded_weights
from bench.serving.llama import Llama, LlamaUnavailable
from bench.serving.model_folder import write_folder
from bench.serving.reference import Ids, forward, perplexity, sample_text
from bench.serving.shape import MEDIUM, Floats, Shape, Weights, random_weights

BLOCKS = (32, 128)
FLOAT_GGUF = "float32.gguf"
Q4_GGUF = "q4_0.gguf"
_TEXTS, _LENGTH = 8, 256
_SOURCES = ("shape", "int4", "graph", "paged", "vocabulary", "model_folder", "gguf_twin", "reference", "model")


@dataclass(frozen=True)
class Files:
    """Where the forms of the model are; `gguf` is None where there is no llama.cpp, and `why` says why not."""

    root: Path
    perplexities: dict[str, Any]
    llama: Llama | None
    why: str

    def folder(self, block: int, *, paged: bool = False) -> Path:
        """A GenAI model folder."""
        return self.root / f"int4-block-{block}{'-paged' if paged else ''}"


def ensure(cache: Path) -> Files:
    """All files, made where they are missing (half a minute). Without llama.cpp the rest is made all the same."""
    digest = hashlib.sha256(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _SOURCES))
    root = cache / f"model-{digest.hexdigest()[:12]}"
    with _locked(cache / "model.lock"):
        if not (root / "perplexities.json").exists():
            for old in cache.glob("model-*/"):
                shutil.rmtree(old)
            _make(root)
        llama, why = Llama(cache, root), ""
        try:
            llama.install()
            if not (root / Q4_GGUF).exists():
                _quantise(llama, root)
                (root / FLOAT_GGUF).unlink()
        except LlamaUnavailable as error:
            why = str(error)
        perplexities = json.loads((root / "perplexities.json").read_text())
    return Files(root, perplexities, None if why else llama, why)


def _make(root: Path) -> None:
    print(f"writing the benchmark model to {root}", flush=True)
    weights = random_weights(MEDIUM)
    for block in BLOCKS:
        write_folder(root / f"int4-block-{block}", MEDIUM, weights, block)
    write_folder(root / "int4-block-32-paged", MEDIUM, weights, 32, paged=True)
    write_gguf(root / FLOAT_GGUF, MEDIUM, weights)
    text = sample_text(MEDIUM, weights, _TEXTS, _LENGTH)
    np.save(root / "text.npy", text)
    found: dict[str, Any] = {
        "text_tokens": text.size - len(text),
        "float32": {"weights": _of_weights(MEDIUM, weights, text)},
    }
    for block in BLOCKS:
        found[f"int4_block_{block}"] = {
            "weights": _of_weights(MEDIUM, rounded_weights(weights, block), text),
            "onnxruntime": perplexity(run_graph(root / f"int4-block-{block}", MEDIUM, text), text),
        }
    _write(root, found)


def _quantise(llama: Llama, root: Path) -> None:
    made = f"{Q4_GGUF}.new"
    llama.quantise(FLOAT_GGUF, made)
    weights, types = read_gguf(root / made, MEDIUM)
    found = json.loads((root / "perplexities.json").read_text())
    q4 = {"weights": _of_weights(MEDIUM, weights, np.load(root / "text.npy"))}
    found["gguf_q4_0"] = {**q4, "types": sorted(set(types.values())), "head": types["output.weight"]}
    _write(root, found)
    (root / made).rename(root / Q4_GGUF)


def run_graph(folder: Path, shape: Shape, text: Ids) -> Floats:
    """Logits [texts, length, vocabulary] by ONNX Runtime, as the model is served."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_size), np.float32)
    feed = {each.name: empty for each in session.get_inputs() if each.name.startswith("past_key_values")}
    found = [
        session.run(["logits"], {**feed, "input_ids": row[None], "attention_mask": np.ones_like(row[None])})[0]
        for row in text
    ]
    return np.concatenate([np.asarray(each, np.float32) for each in found])


def _of_weights(shape: Shape, weights: Weights, text: Ids) -> float:
    return perplexity(np.concatenate([forward(shape, weights, row[None]) for row in text]), text)


def _write(root: Path, found: dict[str, Any]) -> None:
    (root / "perplexities.json").write_text(json.dumps(found, indent=1) + "\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
