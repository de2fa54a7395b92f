"""ONNX Runtime's objects over its C API: sessions, tensors over existing memory, prepared runs and their options.

Only what driving a decoder needs; no policy: which options a user may set, and what is fed, is the caller's. Every call
releases the interpreter while it runs. An object that another one uses is kept alive by it, memory under a `Value` by
its owner. Objects are freed by `close`, `with`, or when collected; using a closed one raises ValueError, and nothing is
passed to the library. A `Call` and its session may be used by one thread at a time unless said otherwise.

GenAI's own API may be used in the same process: it shares the library and its one environment.
"""

import ctypes
import enum
import functools
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from genai_runtime.engine import session_options
from genai_runtime.engine.closing import Closing
from genai_runtime.engine.ort_library import OrtError, library

__all__ = [
    "SESSION_CONFIG_KEYS",
    "Call",
    "Env",
    "GraphLevel",
    "LoraAdapter",
    "OrtError",
    "RunOptions",
    "Session",
    "SessionOptions",
    "TensorInfo",
    "Value",
    "dtype_of",
]

SEVERITY_WARNING, SEVERITY_ERROR = 2, 3

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
# ONNX Runtime takes any key in silence: only keys whose effect was seen are passed on.
SESSION_CONFIG_KEYS = session_options.KEYS | {EXTERNAL_FOLDER}
ARENA_SHRINKAGE = "memory.enable_memory_arena_shrinkage"
CPU_ARENA = "cpu:0"  # its value: which arenas
RUN_CONFIG_KEYS = frozenset({ARENA_SHRINKAGE})

_NUMPY_NAMES = (  # by ONNX element type; None: numpy has no such type
    *(None, "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", None, "bool", "float16", "float64"),
    *("uint32", "uint64"),
)
_NUMPY_TYPES = {code: np.dtype(name) for code, name in enumerate(_NUMPY_NAMES) if name is not None}
_TYPE_CODES = {dtype: code for code, dtype in _NUMPY_TYPES.items()}
_DEVICE_ALLOCATOR, _DEFAULT_MEMORY = 0, 0


class GraphLevel(enum.IntEnum):
    """How far a graph is optimised when it is loaded."""

    DISABLED = 0
    BASIC = 1
    EXTENDED = 2
    ALL = 99


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A graph's input or output. A size is a number, the name of a symbolic one, or None; dtype None: not numpy's."""

    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...]


def dtype_of(code: int) -> np.dtype[Any] | None:
    """The numpy type of an ONNX element type, None if numpy has none (strings, bfloat16, 8-bit floats)."""
    return _NUMPY_TYPES.get(code)


class _Handle(Closing):
    """Owns one object of the library."""

    _release = ""
    _pointer: int | None = None  # what `close` finds if the object could not be made

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        self._free = library().releaser(self._release)  # kept: when the interpreter ends, modules go before objects

    @property
    def pointer(self) -> int:
        """For the library's functions. Raises ValueError when closed."""
        if self._pointer is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._pointer

    def close(self) -> None:
        """Free it. Safe to repeat."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._free(pointer)


class Env(_Handle):
    """The process's environment: ONNX Runtime gives everybody the same, GenAI too; the first maker's severity holds."""

    _release = "ReleaseEnv"

    def __init__(self, severity: int = SEVERITY_WARNING) -> None:
        super().__init__(library().make("CreateEnv", severity, b"genai-runtime"))
        library().call("DisableTelemetryEvents", self.pointer)


@functools.cache
def environment() -> Env:
    """The one that sessions use; lives as long as the process."""
    return Env()


class _MemoryInfo(_Handle):
    _release = "ReleaseMemoryInfo"

    def __init__(self) -> None:
        super().__init__(library().make("CreateMemoryInfo", b"Cpu", _DEVICE_ALLOCATOR, 0, _DEFAULT_MEMORY))


@functools.cache
def _host_memory() -> _MemoryInfo:
    return _MemoryInfo()


class Value(_Handle):
    """A tensor over an array's memory, from `offset` bytes on: nothing is copied, and the array is kept alive.

    `shape` and `dtype` are the array's own by default. What lies outside them is never touched. Raises ValueError if
    the memory is not contiguous or too small.
    """

    _release = "ReleaseValue"

    def __init__(
        self,
        array: NDArray[Any],
        shape: Sequence[int] | None = None,
        offset: int = 0,
        dtype: DTypeLike | None = None,
    ) -> None:
        if not array.flags.c_contiguous:
            raise ValueError("a tensor needs contiguous memory")
        self.shape = tuple(array.shape if shape is None else shape)
        element = array.dtype if dtype is None else np.dtype(dtype)
        size = math.prod(self.shape) * element.itemsize
        if offset < 0 or any(each < 0 for each in self.shape) or offset + size > array.nbytes:
            raise ValueError(f"{size} bytes at {offset} do not lie inside an array of {array.nbytes}")
        self._owner = array
        sizes = (ctypes.c_int64 * len(self.shape))(*self.shape)
        at = array.ctypes.data + offset
        code = _TYPE_CODES[element]
        create, memory = "CreateTensorWithDataAsOrtValue", _host_memory().pointer
        super().__init__(library().make(create, memory, at, size, sizes, len(self.shape), code))


class SessionOptions(_Handle):
    """How a session is made. `config` takes only `SESSION_CONFIG_KEYS`; another key raises ValueError."""

    _release = "ReleaseSessionOptions"

    def __init__(
        self,
        *,
        threads: int = 1,
        level: GraphLevel = GraphLevel.ALL,
        arena: bool = True,
        memory_pattern: bool = True,
        config: Mapping[str, str] | None = None,
        optimized_model: Path | None = None,
    ) -> None:
        lib = library()
        super().__init__(lib.make("CreateSessionOptions"))
        lib.call("SetIntraOpNumThreads", self.pointer, threads)
        lib.call("SetInterOpNumThreads", self.pointer, 1)
        lib.call("SetSessionGraphOptimizationLevel", self.pointer, int(level))
        lib.call("EnableCpuMemArena" if arena else "DisableCpuMemArena", self.pointer)
        lib.call("EnableMemPattern" if memory_pattern else "DisableMemPattern", self.pointer)
        # A session's warnings are advice for who made the graph, and come by the hundred for graphs with LoRA weights.
        lib.call("SetSessionLogSeverityLevel", self.pointer, SEVERITY_ERROR)
        for key, value in (config or {}).items():
            _check_key(key, SESSION_CONFIG_KEYS, "session")
            lib.call("AddSessionConfigEntry", self.pointer, key.encode(), value.encode())
        if optimized_model is not None:
            lib.call("SetOptimizedModelFilePath", self.pointer, os.fsencode(optimized_model))


class Session(_Handle):
    """A loaded graph: a file, or its bytes. `inputs` and `outputs` are in the graph's order. Raises `OrtError`.

    Runs of different `Call`s may go on at once, from different threads.
    """

    _release = "ReleaseSession"

    def __init__(self, model: Path | bytes, options: SessionOptions) -> None:
        lib, self._env = library(), environment()
        if isinstance(model, bytes):
            pointer = lib.make("CreateSessionFromArray", self._env.pointer, model, len(model), options.pointer)
        else:
            pointer = lib.make("CreateSession", self._env.pointer, os.fsencode(model), options.pointer)
        super().__init__(pointer)
        self.inputs = self._tensors("Input")
        self.outputs = self._tensors("Output")

    def _tensors(self, kind: str) -> dict[str, TensorInfo]:
        count = library().make(f"SessionGet{kind}Count", self.pointer, kind=ctypes.c_size_t)
        return dict(self._tensor(kind, index) for index in range(count))

    def _tensor(self, kind: str, index: int) -> tuple[str, TensorInfo]:
        lib = library()
        allocator = lib.make("GetAllocatorWithDefaultOptions")  # the process's own: never freed
        text = lib.make(f"SessionGet{kind}Name", self.pointer, index, allocator)
        try:
            name = ctypes.string_at(text).decode()
        finally:
            lib.call("AllocatorFree", allocator, text)
        info = lib.make(f"SessionGet{kind}TypeInfo", self.pointer, index)
        try:
            tensor = lib.make("CastTypeInfoToTensorInfo", info)  # a part of `info`
            return name, _tensor_info(tensor) if tensor else TensorInfo(None, ())
        finally:
            lib.plain("ReleaseTypeInfo", info)


def _tensor_info(info: int) -> TensorInfo:
    lib = library()
    count = lib.make("GetDimensionsCount", info, kind=ctypes.c_size_t)
    sizes, names = (ctypes.c_int64 * count)(), (ctypes.c_char_p * count)()
    lib.call("GetDimensions", info, sizes, count)
    lib.call("GetSymbolicDimensions", info, names, count)
    shape = tuple(
        size if size >= 0 else (name or b"").decode() or None for size, name in zip(sizes, names, strict=True)
    )
    return TensorInfo(dtype_of(lib.make("GetTensorElementType", info, kind=ctypes.c_int)), shape)


class LoraAdapter(_Handle):
    """The weights of one `.onnx_adapter` file. Raises `OrtError`."""

    _release = "ReleaseLoraAdapter"

    def __init__(self, path: Path) -> None:
        super().__init__(library().make("CreateLoraAdapter", os.fsencode(path), None))


class RunOptions(_Handle):
    """What may change from run to run. `terminate`, `clear` and `close` may be called by any thread at any time.

    Not to be closed while a run uses it.
    """

    _release = "ReleaseRunOptions"

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a terminate must never reach memory that `close` has just freed
        self._adapters: list[LoraAdapter] = []
        super().__init__(library().make("CreateRunOptions"))

    def terminate(self) -> None:
        """End the run in progress, and every later one until `clear`: both raise `OrtError` with `terminated`."""
        with self._lock:
            library().call("RunOptionsSetTerminate", self.pointer)

    def clear(self) -> None:
        """Let runs go on again after `terminate`."""
        with self._lock:
            library().call("RunOptionsUnsetTerminate", self.pointer)

    def start_profiling(self, prefix: Path) -> None:
        """Write one trace file `PREFIX_*.json` for each later run. Raises OSError if that folder cannot be written.

        Checked here because ONNX Runtime itself then writes nothing, and says nothing.
        """
        if not os.access(prefix.parent, os.W_OK | os.X_OK):
            raise PermissionError(f"profiles cannot be written to {prefix.parent}: it is missing or not writable")
        library().call("RunOptionsEnableProfiling", self.pointer, os.fsencode(prefix))

    def stop_profiling(self) -> None:
        """Later runs are not profiled."""
        library().call("RunOptionsDisableProfiling", self.pointer)

    def add_config(self, key: str, value: str) -> None:
        """Set one of `RUN_CONFIG_KEYS`; another key raises ValueError."""
        _check_key(key, RUN_CONFIG_KEYS, "run")
        library().call("AddRunConfigEntry", self.pointer, key.encode(), value.encode())

    def add_adapter(self, adapter: LoraAdapter) -> None:
        """Use it in every later run; it cannot be taken off again. Works with `Call`, for the whole batch."""
        library().call("RunOptionsAddActiveLoraAdapter", self.pointer, adapter.pointer)
        self._adapters.append(adapter)

    def close(self) -> None:
        """Free it. Safe to repeat."""
        if self._pointer is not None:
            with self._lock:
                super().close()


class Call:
    """A run prepared once, over the same tensors each time; what changes is given to `feed` and `fetch`.

    Outputs that are not in `fetches` are not given out. One run at a time.
    """

    def __init__(self, session: Session, feeds: Mapping[str, Value], fetches: Mapping[str, Value]) -> None:
        self._session = session
        self._feeds, self._fetches = dict(feeds), dict(fetches)
        self._in_at = {name: index for index, name in enumerate(self._feeds)}
        self._out_at = {name: index for index, name in enumerate(self._fetches)}
        self._inputs = _pointers(list(self._feeds.values()))
        self._outputs = _pointers(list(self._fetches.values()))
        self._input_names, self._output_names = _names(list(self._feeds)), _names(list(self._fetches))
        self._run: Callable[..., Any] = library().function("Run")

    def feed(self, name: str, value: Value) -> None:
        """Give an input that is there already another tensor. Raises KeyError for another name."""
        self._inputs[self._in_at[name]] = value.pointer
        self._feeds[name] = value

    def fetch(self, name: str, value: Value) -> None:
        """Let an output that is there already go to another tensor. Raises KeyError for another name."""
        self._outputs[self._out_at[name]] = value.pointer
        self._fetches[name] = value

    def __call__(self, options: RunOptions | None = None) -> None:
        """Run. Raises `OrtError`; with `terminated` set the outputs hold anything."""
        library().check(
            self._run(
                self._session.pointer,
                None if options is None else options.pointer,
                self._input_names,
                self._inputs,
                len(self._inputs),
                self._output_names,
                len(self._outputs),
                self._outputs,
            )
        )


def _pointers(values: Sequence[Value]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(values))(*[each.pointer for each in values])


def _names(names: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(names))(*[each.encode() for each in names])


def _check_key(key: str, known: frozenset[str], scope: str) -> None:
    if key not in known:
        raise ValueError(f"{key!r} is not a {scope} option that this server sets; known: {', '.join(sorted(known))}")
