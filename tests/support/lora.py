"""LoRA adapter files, written with ONNX Runtime's own Python module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


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
