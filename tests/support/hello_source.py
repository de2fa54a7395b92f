"""The hello model as it was before it was built: a Hugging Face folder of safetensors, made from the committed model.

Training rounded the weights to the four bits that the file stores (examples/hello-model/quantise.py), so what the
file's blocks stand for are exactly the trained weights.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from support.engines import HELLO_MODEL

Weights = dict[str, NDArray[np.float32]]

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "float32",
    "vocab_size": 1280,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
GENERATION: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": [2], "pad_token_id": 3}
_COPIED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_source(folder: Path, generation: dict[str, Any] | None = None, **config: Any) -> Path:
    """Write the folder and return it. `config` changes fields of config.json, `generation` adds to the defaults."""
    folder.mkdir(parents=True)
    save_file(hello_weights(), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG | config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps(GENERATION | (generation or {}), indent=2))
    for name in _COPIED:
        shutil.copy(HELLO_MODEL / name, folder / name)
    return folder


def hello_weights() -> Weights:
    """By the names that transformers gives the parameters of a Llama."""
    graph = onnx.load(str(HELLO_MODEL / "model.onnx")).graph
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    found: Weights = {
        "model.embed_tokens.weight": stored["model.embed_tokens.weight"],
        "model.norm.weight": stored["model.layers.4.final_norm_layernorm.weight"],
        "lm_head.weight": _matrix(stored, "lm_head"),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        found |= _layer(stored, f"model.layers.{layer}")
    return {name: np.ascontiguousarray(weight, dtype=np.float32) for name, weight in found.items()}


def _layer(stored: dict[str, NDArray[Any]], layer: str) -> Weights:
    joined = _matrix(stored, f"{layer}.attn.qkv_proj")
    queries = CONFIG["num_attention_heads"] * CONFIG["head_dim"]
    keys = CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    q, k, v = np.split(joined, [queries, queries + keys])
    found = {f"{layer}.self_attn.{name}_proj.weight": weight for name, weight in (("q", q), ("k", k), ("v", v))}
    found[f"{layer}.self_attn.o_proj.weight"] = _matrix(stored, f"{layer}.attn.o_proj")
    for name in ("gate", "up", "down"):
        found[f"{layer}.mlp.{name}_proj.weight"] = _matrix(stored, f"{layer}.mlp.{name}_proj")
    for name in ("input_layernorm", "post_attention_layernorm"):
        found[f"{layer}.{name}.weight"] = stored[f"{layer}.{name}.weight"]
    return found


def _matrix(stored: dict[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """[outputs, inputs] of a MatMulNBits: two weights a byte, the low half first; 8 stands for nothing."""
    packed, scales = stored[f"{name}.MatMul.weight_Q4"], stored[f"{name}.MatMul.weight_scales"]
    halves = np.stack([packed & 15, packed >> 4], axis=-1).astype(np.float32) - 8
    blocks = halves.reshape(*scales.shape, -1) * scales[..., None]
    matrix: NDArray[np.float32] = blocks.reshape(packed.shape[0], -1)
    return matrix
