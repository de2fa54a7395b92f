"""A GenAI model folder of the benchmark model: graph, weights, configuration, tokenizer."""

import json
from pathlib import Path
from typing import Any

import onnx

from bench.serving.graph import Contiguous, decoder
from bench.serving.paged import Paged
from bench.serving.shape import EOS_ID, PAD_ID, Shape, Weights
from bench.serving.vocabulary import write_tokenizer

_PAGE_TOKENS = 32
_PAGES = 512


def write_folder(
    folder: Path, shape: Shape, weights: Weights, block: int, *, paged: bool = False, rows: int = 16
) -> Path:
    """What `og.Generator` and this project load; with `paged`, what `og.Engine` does, for up to `rows` requests."""
    folder.mkdir(parents=True)
    graph = decoder(shape, weights, block, Paged(shape, _PAGE_TOKENS) if paged else Contiguous(shape))
    onnx.save_model(graph, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    (folder / "genai_config.json").write_text(json.dumps(_config(shape, rows if paged else 0), indent=1))
    write_tokenizer(folder, shape.vocabulary, shape.context)
    return folder


def _config(shape: Shape, engine_rows: int) -> dict[str, Any]:
    inputs = {
        "input_ids": "input_ids",
        "past_key_names": "past_key_values.%d.key",
        "past_value_names": "past_key_values.%d.value",
    }
    decoder_config = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "model.onnx",
        "head_size": shape.head_size,
        "hidden_size": shape.hidden,
        "inputs": inputs if engine_rows else {**inputs, "attention_mask": "attention_mask"},
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
    }
    model = {
        "type": "qwen2",
        "context_length": shape.context,
        "vocab_size": shape.vocabulary,
        "bos_token_id": 0,
        "eos_token_id": [EOS_ID],
        "pad_token_id": PAD_ID,
        "decoder": decoder_config,
    }
    search = {"do_sample": False, "max_length": shape.context, "past_present_share_buffer": True, "top_k": 50}
    config: dict[str, Any] = {"model": model, "search": search}
    if engine_rows:
        batching = {"block_size": _PAGE_TOKENS, "num_blocks": _PAGES, "max_batch_size": engine_rows}
        config["engine"] = {"dynamic_batching": batching}
    return config
