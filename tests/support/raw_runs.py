"""Raw files as ONNX Runtime's run-level profiler writes them, and raw folders of windows, made by hand."""

import json
from pathlib import Path
from typing import Any

from genai_runtime.engine.protocol import Window
from genai_runtime.profiling.selection import Selection
from genai_runtime.profiling.window import OpenWindow

STAMP = "_2026-11-21_05-15-45_192.json"
WINDOW_ID = "slow-20261121T051545Z-1"

# One operator: name, op_type, start, duration in microseconds.
Op = tuple[str, str, int, int]


def node(op: Op, category: str = "Node", thread: int = 7, provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    """An operator's event with the fields that ONNX Runtime writes."""
    name, op_type, start, duration = op
    args = {
        "op_name": op_type,
        "provider": provider,
        "node_index": "3",
        "mem_arena_held": "89923094",
        "thread_scheduling_stats": "",
        "input_type_shape": [{"float": [1, 768]}, {"int64": [1, 1]}],
        "output_type_shape": [{"float": [1, 768]}],
    }
    return _event(category, f"{name}_kernel_time", start, duration, thread, args)


def raw_events(*nodes: dict[str, Any], length: int = 100) -> list[dict[str, Any]]:
    """The events of one Session::Run that took `length` microseconds."""
    executor = _event("Session", "SequentialExecutor::Execute", 3, length - 4)
    return [*nodes, executor, _event("Session", "model_run", 2, length)]


def write_raw(prefix: str, *ops: Op, length: int = 100, stamp: str = STAMP) -> Path:
    """Write a raw file for the prefix, as ONNX Runtime would."""
    path = Path(prefix + stamp)
    path.write_text(json.dumps(raw_events(*(node(op) for op in ops), length=length)), encoding="utf-8")
    return path


def window(selection: Selection | None = None, **caps: float) -> Window:
    """A window with caps that are not reached unless given."""
    limits = {"max_runs": 1000, "max_bytes": 10**9, "max_seconds": 1000.0} | caps
    runs, size, seconds = int(limits["max_runs"]), int(limits["max_bytes"]), limits["max_seconds"]
    return Window(WINDOW_ID, runs, size, seconds, selection or Selection())


def capture(opened: OpenWindow, request: str, kind: str, tokens: int, *ops: Op) -> Path:
    """One profiled run; returns the file as ONNX Runtime left it."""
    prefix = opened.before_run(kind, {request: tokens})
    assert prefix is not None
    path = write_raw(prefix, *(ops or (("/embed", "Gather", 10, 20), ("/head", "MatMul", 31, 40))))
    opened.after_run()
    return path


def _event(category: str, name: str, start: int, duration: int, thread: int = 7, args: Any = None) -> dict[str, Any]:
    return {
        "cat": category,
        "pid": 7,
        "tid": thread,
        "dur": duration,
        "ts": start,
        "ph": "X",
        "name": name,
        "args": args or {},
    }
