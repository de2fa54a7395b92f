"""`python -m genai_builder.measure_reference SOURCE WINDOWS RESULT`: the source over windows, in fp32, by transformers.

A process of its own, as it needs four bytes a parameter. The one module that knows PyTorch; RESULT gets {"total": the
summed negative logarithms}.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from genai_builder.evaluation import read_windows
from genai_builder.quality import negative_log_likelihood


def main(source: str, windows: str, result: str) -> None:
    """Writes the result; prints a line a window."""
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, local_files_only=True
    )
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for number, window in enumerate(read_windows(Path(windows))):
            logits = model(input_ids=torch.tensor([window.tokens]), use_cache=False).logits[0]
            total += negative_log_likelihood(logits.float().numpy(), window)
            print(f"window {number + 1}", flush=True)
    Path(result).write_text(json.dumps({"total": total}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
