"""IO binding on against off, for one decode run at a time: bound buffers against tensors that are given and taken.

On is what the batch engine does: runs that were prepared once, with past and present in the same memory. Off is a plain
`InferenceSession.run`: the past goes in as an array, the present comes out as a new one and is the next run's past.
Both compute the same token with the same kernels on the same threads; what differs is what is copied and allocated.
"""

import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from bench.serving.shape import MEDIUM
from genai_runtime.engine.batch.graph import Graph
from genai_runtime.engine.protocol import EngineSpec

_WARM = 3


def rates(spec: EngineSpec, rows: int, context: int, runs: int) -> tuple[float, float]:
    """Decode runs per second, bound and unbound, at `context` positions and more."""
    return _bound(spec, rows, context, runs), _unbound(spec, rows, context, runs)


def _bound(spec: EngineSpec, rows: int, context: int, runs: int) -> float:
    graph = Graph.load(spec, rows, context + _WARM + runs + 1)
    graph.ids[:] = 100  # what the positions before it hold does not change what a run costs
    times = []
    for number in range(_WARM + runs):
        began = time.perf_counter()
        graph.decode(rows, [context + number] * rows)
        times.append(time.perf_counter() - began)
    graph.close()
    return 1 / median(times[_WARM:])


def _unbound(spec: EngineSpec, rows: int, context: int, runs: int) -> float:
    session = _session(spec.model_dir, spec)
    outputs = [each.name for each in session.get_outputs()]
    names = [name for name in outputs if name != "logits"]
    shape = (rows, MEDIUM.kv_heads, context, MEDIUM.head_size)
    past = {name.replace("present", "past_key_values"): np.zeros(shape, np.float32) for name in names}
    times = []
    for number in range(_WARM + runs):
        feed = {
            "input_ids": np.full((rows, 1), 100, np.int64),
            "attention_mask": np.ones((rows, context + number + 1), np.int64),
            **past,
        }
        began = time.perf_counter()
        found = dict(zip(outputs, session.run(outputs, feed), strict=True))
        times.append(time.perf_counter() - began)
        past = {name.replace("present", "past_key_values"): np.asarray(found[name]) for name in names}
    return 1 / median(times[_WARM:])


def _session(folder: Path, spec: EngineSpec) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.intra_op_threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spec.spinning else "0")
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
