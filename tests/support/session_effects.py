"""What ONNX Runtime does in this process, told by the kernel and by ONNX Runtime itself: threads, arena, log."""

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.engine import ort, single_load
from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.genai_capi import onnxruntime_folder
from genai_runtime.engine.protocol import Engine, EngineSpec, ModelInfo
from genai_runtime.engine.single import SingleEngine

ENGINES: dict[str, Callable[[], Engine]] = {"batch": BatchEngine, "single": SingleEngine}
_TASKS = Path("/proc/self/task")
_VERBOSE = 0
# Functions of OrtApi that only tests need, by their places.
_CREATE_ALLOCATOR, _RELEASE_ALLOCATOR, _ALLOCATOR_STATS, _PAIRS, _RELEASE_PAIRS = 131, 132, 319, 298, 300


def threads() -> set[str]:
    """The threads of this process."""
    return {each.name for each in _TASKS.iterdir()}


def cpu_time(thread: str) -> int:
    """Nanoseconds on a CPU."""
    return int((_TASKS / thread / "schedstat").read_text().split()[0])


def sleeps(thread: str) -> bool:
    """Whether a thread waits without using a CPU."""
    return (_TASKS / thread / "stat").read_text().rpartition(")")[2].split()[0] == "S"


@contextmanager
def loaded(kind: str, spec: EngineSpec) -> Iterator[tuple[Engine, ModelInfo, set[str]]]:
    """An engine of a kind with its model, and the threads that loading made."""
    before = threads()
    engine = ENGINES[kind]()
    info = engine.load(spec)
    try:
        yield engine, info, threads() - before
    finally:
        engine.close()


def session_log(
    kind: str, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """What ONNX Runtime says of the session that an engine makes: its options by name, and `text`, the whole log."""
    monkeypatch.setattr(ort, "SEVERITY_ERROR", _VERBOSE)
    monkeypatch.setattr(single_load, "_LOG_WARNINGS", _VERBOSE)
    capfd.readouterr()
    with loaded(kind, spec):
        pass
    text = capfd.readouterr().err
    (line,) = {each for each in text.splitlines() if "Session Options {" in each}
    intra, inter = re.findall(r"thread_pool_size: (\d+)", line)
    options = dict(re.findall(r"([a-z_.]+): ?(\S*)", line[line.index("Session Options {") :]))
    return {**options, "intra": intra, "inter": inter, "text": text}


def arena(session: ort.Session) -> dict[str, int]:
    """The counts of a session's CPU arena; empty if it has none."""
    allocator = _made(_CREATE_ALLOCATOR, session.pointer, ort._host_memory().pointer)
    pairs = _made(_ALLOCATOR_STATS, allocator)
    keys, values = (ctypes.POINTER(ctypes.c_char_p)() for _ in range(2))
    count = ctypes.c_size_t()
    _function(_PAIRS, None)(pairs, ctypes.byref(keys), ctypes.byref(values), ctypes.byref(count))
    found = {keys[index].decode(): int(values[index]) for index in range(count.value)}
    _function(_RELEASE_PAIRS, None)(pairs)
    _function(_RELEASE_ALLOCATOR, None)(allocator)
    return found


def _made(place: int, *arguments: Any) -> ctypes.c_void_p:
    out = ctypes.c_void_p()
    pointers = [each if isinstance(each, ctypes.c_void_p) else ctypes.c_void_p(each) for each in arguments]
    assert not _function(place, ctypes.c_void_p)(*pointers, ctypes.byref(out))
    return out


def _function(place: int, result: Any) -> Callable[..., Any]:
    library = next((onnxruntime_folder() / "capi").glob("libonnxruntime.so.*"))
    base = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p))(("OrtGetApiBase", ctypes.CDLL(str(library))))()
    table = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(base[0])(29)
    function: Callable[..., Any] = ctypes.CFUNCTYPE(result)(table[place])
    return function
