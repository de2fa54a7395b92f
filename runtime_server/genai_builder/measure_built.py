"""`python -m genai_builder.measure_built FOLDER PROVIDER WINDOWS RESULT`: the built model over windows, by GenAI.

A process of its own: a model that crashes it costs the measurement and not the build. The one module that runs models
on ONNX Runtime; RESULT gets {"total": the summed negative logarithms} or {"notMeasured": why}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_genai

from genai_builder.evaluation import read_windows
from genai_builder.quality import Window, negative_log_likelihood

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "trt-rtx": "NvTensorRTRTXExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "dml": "DmlExecutionProvider",
}


def main(folder: str, provider: str, windows: str, result: str) -> None:
    """Writes the result; prints a line a window."""
    found: dict[str, Any]
    if _PROVIDERS[provider] in onnxruntime.get_available_providers():
        found = {"total": _total(onnxruntime_genai.Model(folder), read_windows(Path(windows)))}
    else:
        found = {"notMeasured": f"the builder's image has no {provider} provider, for which the model was built"}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


def _total(model: Any, windows: list[Window]) -> float:
    total = 0.0
    for number, window in enumerate(windows):
        parameters = onnxruntime_genai.GeneratorParams(model)
        parameters.set_search_options(max_length=len(window.tokens) + 1, do_sample=False, num_beams=1)
        generator = onnxruntime_genai.Generator(model, parameters)
        generator.append_tokens(np.asarray(window.tokens, dtype=np.int32))
        logits = generator.get_output("logits")[0]
        if logits.shape[0] != len(window.tokens):
            raise ValueError(f"the model has logits for {logits.shape[0]} of {len(window.tokens)} positions")
        total += negative_log_likelihood(np.asarray(logits, dtype=np.float32), window)
        print(f"window {number + 1}", flush=True)
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
