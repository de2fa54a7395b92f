"""LoRA adapter files, written with ONNX Runtime's own Python module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def head_weights(hidden: int, vocabulary: int, seed: int) -> dict[str, NDArray[Any]]:
    """Weights of the output head of a `TinyDecoder` with `lora_rank`, large enough to change what is likeliest."""
    noise = np.random.default_rng(seed)
    return {
        "lm_head.lora_A.weight": noise.normal(0, 0.3, (hidden, 4)).astype(np.float32),
        "lm_head.lora_B.weight": noise.normal(0, 1, (4, vocabulary)).astype(np.float32),
    }


def write_adapter(path: Path, weights: Mapping[str, NDArray[Any]]) -> Path:
    """One file with the weights that replace the graph's of these names."""
    kept = {name: np.ascontiguousarray(each) for name, each in weights.items()}
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(each) for name, each in kept.items()}
    adapter.set_parameters(values)
    adapter.export_adapter(str(path))
    return path
