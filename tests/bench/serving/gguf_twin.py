"""The benchmark model as float GGUF for llama.cpp: same weights, same vocabulary. Four bits are llama-quantize's work.

Reading a quantised file back is here as well, so that its perplexity can be computed by the same reference.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from bench.serving.shape import EOS_ID, PAD_ID, SPECIAL, Floats, Layer, Shape, Weights
from bench.serving.vocabulary import vocabulary

_LAYER = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
"""Our names to GGUF's."""


def write_gguf(path: Path, shape: Shape, weights: Weights) -> None:
    """A Qwen2 model in float32; Qwen2's biases are zero and its norms one."""
    writer = gguf.GGUFWriter(path, "qwen2")
    _write_shape(writer, shape)
    _write_vocabulary(writer, shape)
    ones, zeros = np.ones(shape.hidden, np.float32), np.zeros(shape.hidden, np.float32)
    writer.add_tensor("token_embd.weight", weights.embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", weights.head)
    for number, layer in enumerate(weights.layers):
        prefix = f"blk.{number}"
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{prefix}.{norm}.weight", ones)
        for ours, theirs in _LAYER.items():
            writer.add_tensor(f"{prefix}.{theirs}.weight", getattr(layer, ours))
        for theirs, width in (("attn_q", shape.hidden), ("attn_k", shape.kv_width), ("attn_v", shape.kv_width)):
            writer.add_tensor(f"{prefix}.{theirs}.bias", zeros[:width])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path, shape: Shape) -> tuple[Weights, dict[str, str]]:
    """The weights a file stands for, whatever its types; and each matrix's type by its name."""
    tensors: dict[str, Any] = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}

    def matrix(name: str) -> Floats:
        tensor = tensors[f"{name}.weight"]
        return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)

    layers = [
        Layer(**{ours: matrix(f"blk.{number}.{theirs}") for ours, theirs in _LAYER.items()})
        for number in range(shape.layers)
    ]
    types = {name: str(tensor.tensor_type.name) for name, tensor in tensors.items() if len(tensor.shape) > 1}
    return Weights(matrix("token_embd"), matrix("output"), layers), types


def _write_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _write_vocabulary(writer: gguf.GGUFWriter, shape: Shape) -> None:
    made = vocabulary(shape.vocabulary)
    types = [gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (shape.vocabulary - len(SPECIAL))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(made.tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(each) for each in made.merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(EOS_ID)
    writer.add_pad_token_id(PAD_ID)
    writer.add_add_bos_token(False)
