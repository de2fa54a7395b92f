"""A thin binding of ONNX Runtime GenAI's C API, for the parts that generate with one model.

By ctypes, and not by the wheel's Python module, because a call through ctypes releases the interpreter: a run can be
terminated from another thread. The wheels' Python modules, and numpy, are not needed. Only releases that the tests ran
with are accepted, for the header's signatures are repeated here. No policy: that is `single.py`'s.

The caller keeps each object alive while it is used; nothing here locks. `is_done` is left out on purpose: it cannot
report an error. Objects are freed by `close`, or when they are collected.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

from genai_runtime.engine.closing import Closing

CHECKED_GENAI = "0.18.0"
CHECKED_ONNXRUNTIME = "1.31.1"

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "OgaCreateConfig": (c_char_p, POINTER(c_void_p)),
    "OgaConfigOverlay": (c_void_p, c_char_p),
    "OgaConfigClearProviders": (c_void_p,),
    "OgaConfigAppendProvider": (c_void_p, c_char_p),
    "OgaConfigSetProviderOption": (c_void_p, c_char_p, c_char_p, c_char_p),
    "OgaCreateModelFromConfig": (c_void_p, POINTER(c_void_p)),
    "OgaModelGetDeviceType": (c_void_p, POINTER(c_void_p)),
    "OgaCreateGeneratorParams": (c_void_p, POINTER(c_void_p)),
    "OgaGeneratorParamsSetSearchNumber": (c_void_p, c_char_p, c_double),
    "OgaGeneratorParamsSetSearchBool": (c_void_p, c_char_p, c_bool),
    "OgaCreateGenerator": (c_void_p, c_void_p, POINTER(c_void_p)),
    "OgaGenerator_AppendTokens": (c_void_p, POINTER(c_int32), c_size_t),
    "OgaGenerator_GenerateNextToken": (c_void_p,),
    "OgaGenerator_GetNextTokens": (c_void_p, POINTER(POINTER(c_int32)), POINTER(c_size_t)),
    "OgaGenerator_RewindTo": (c_void_p, c_size_t),
    "OgaGenerator_SetRuntimeOption": (c_void_p, c_char_p, c_char_p),
}
_DESTROYERS = (
    *("OgaDestroyConfig", "OgaDestroyModel", "OgaDestroyGeneratorParams", "OgaDestroyGenerator"),
    *("OgaDestroyResult", "OgaDestroyString"),
)


class GenAIError(Exception):
    """A call of the C API failed; the text is GenAI's own."""


class UnsupportedRelease(Exception):
    """The installed onnxruntime or onnxruntime-genai is missing, or is not the one this binding was checked with."""


def genai_version() -> str:
    """The installed release, of the CPU or the CUDA wheel. Raises `UnsupportedRelease` if there is none."""
    return _installed("onnxruntime-genai", "onnxruntime-genai-cuda")


def onnxruntime_version() -> str:
    """The installed release, of the CPU or the GPU wheel. Raises `UnsupportedRelease` if there is none."""
    return _installed("onnxruntime", "onnxruntime-gpu")


def genai_folder() -> Path:
    """Where the wheel's shared libraries lie. Raises `UnsupportedRelease`."""
    return _package_folder("onnxruntime_genai")


def onnxruntime_folder() -> Path:
    """Where the onnxruntime wheel lies. Raises `UnsupportedRelease`."""
    return _package_folder("onnxruntime")


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library. Raises `UnsupportedRelease`, or OSError if it cannot be loaded."""
    for name, found, checked in (
        ("onnxruntime-genai", genai_version(), CHECKED_GENAI),
        ("onnxruntime", onnxruntime_version(), CHECKED_ONNXRUNTIME),
    ):
        if found != checked:
            raise UnsupportedRelease(f"{name} {found} is installed, but only {checked} was checked; install that one")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # GenAI opens "libonnxruntime.so.1" by name: loading it first, by path, makes that name known.
    ctypes.CDLL(str(onnxruntime_folder() / "capi" / f"libonnxruntime.so.{CHECKED_ONNXRUNTIME}"))
    loaded = ctypes.CDLL(str(genai_folder() / "libonnxruntime-genai.so"))
    for function, arguments in _SIGNATURES.items():
        _declare(loaded, function, c_void_p, *arguments)
    for function in _DESTROYERS:
        _declare(loaded, function, None, c_void_p)
    _declare(loaded, "OgaResultGetError", c_char_p, c_void_p)
    _declare(loaded, "OgaGenerator_TokenCount", c_size_t, c_void_p)
    _declare(loaded, "OgaGenerator_IsSessionTerminated", c_bool, c_void_p)
    _declare(loaded, "OgaShutdown", None)
    return loaded


class _Handle(Closing):
    """Owns one object of the C API."""

    _destroyer = ""
    handle = c_void_p()  # what `close` finds if the object could not be made

    def __init__(self, handle: c_void_p) -> None:
        self.handle = handle

    def close(self) -> None:
        """Free it. Safe to repeat."""
        handle, self.handle = self.handle, c_void_p()
        if handle:
            getattr(library(), self._destroyer)(handle)


class Config(_Handle):
    """A model folder's genai_config.json, to be changed before the model is loaded."""

    _destroyer = "OgaDestroyConfig"

    def __init__(self, folder: Path) -> None:
        super().__init__(_create("OgaCreateConfig", str(folder).encode()))

    def overlay(self, json_text: str) -> None:
        """Merge JSON into it. Providers named here are not activated: that needs `append_provider`."""
        _call("OgaConfigOverlay", self.handle, json_text.encode())

    def clear_providers(self) -> None:
        """Forget the file's execution providers: the CPU remains."""
        _call("OgaConfigClearProviders", self.handle)

    def append_provider(self, name: str) -> None:
        """Use this execution provider before those appended later."""
        _call("OgaConfigAppendProvider", self.handle, name.encode())

    def set_provider_option(self, provider: str, key: str, value: str) -> None:
        """Set an option of an appended provider."""
        _call("OgaConfigSetProviderOption", self.handle, provider.encode(), key.encode(), value.encode())


class Model(_Handle):
    """Loaded weights and sessions."""

    _destroyer = "OgaDestroyModel"

    def __init__(self, config: Config) -> None:
        super().__init__(_create("OgaCreateModelFromConfig", config.handle))

    @property
    def device_type(self) -> str:
        """Where it really runs, for example "CPU" or "cuda"."""
        text = c_void_p()
        _call("OgaModelGetDeviceType", self.handle, byref(text))
        try:
            return ctypes.string_at(text.value or 0).decode()
        finally:
            library().OgaDestroyString(text)


class GeneratorParams(_Handle):
    """Search options of one generation."""

    _destroyer = "OgaDestroyGeneratorParams"

    def __init__(self, model: Model) -> None:
        super().__init__(_create("OgaCreateGeneratorParams", model.handle))

    def set(self, name: str, value: float | bool) -> None:
        """Set a number or a bool; the names are those of genai_config.json's `search`."""
        kind = "Bool" if isinstance(value, bool) else "Number"
        _call(f"OgaGeneratorParamsSetSearch{kind}", self.handle, name.encode(), value)


class Generator(_Handle):
    """One sequence. `set_runtime_option` may be called while another thread is in a run of it."""

    _destroyer = "OgaDestroyGenerator"

    def __init__(self, model: Model, params: GeneratorParams) -> None:
        super().__init__(_create("OgaCreateGenerator", model.handle, params.handle))

    def append_tokens(self, ids: Sequence[int]) -> None:
        """Run the model over `ids`, after what is already there."""
        _call("OgaGenerator_AppendTokens", self.handle, (c_int32 * len(ids))(*ids), len(ids))

    def generate_next_token(self) -> None:
        """Choose a token; runs the model first, over the token before, unless `append_tokens` has just done so."""
        _call("OgaGenerator_GenerateNextToken", self.handle)

    def next_token(self) -> int:
        """The token just chosen; the end-of-sequence token is seen here too."""
        tokens, count = POINTER(c_int32)(), c_size_t()
        _call("OgaGenerator_GetNextTokens", self.handle, byref(tokens), byref(count))
        return int(tokens[0])

    def token_count(self) -> int:
        """Tokens held. After an interrupted `append_tokens` they count although they were not computed."""
        return int(library().OgaGenerator_TokenCount(self.handle))

    def rewind_to(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        _call("OgaGenerator_RewindTo", self.handle, count)

    def set_runtime_option(self, key: str, value: str) -> None:
        """terminate_session: "0" or "1". enable_profiling: "0", or the path prefix of one file a run."""
        _call("OgaGenerator_SetRuntimeOption", self.handle, key.encode(), value.encode())

    def is_session_terminated(self) -> bool:
        """Whether terminate_session is "1"."""
        return bool(library().OgaGenerator_IsSessionTerminated(self.handle))


def shutdown() -> None:
    """Free the library's globals. Every object must have been closed; nothing works afterwards."""
    library().OgaShutdown()


def _create(function: str, *arguments: Any) -> c_void_p:
    handle = c_void_p()
    _call(function, *arguments, byref(handle))
    return handle


def _call(function: str, *arguments: Any) -> None:
    loaded = library()
    result = getattr(loaded, function)(*arguments)
    if result:
        message = loaded.OgaResultGetError(result) or b""
        loaded.OgaDestroyResult(result)
        raise GenAIError(message.decode(errors="replace"))


def _declare(loaded: ctypes.CDLL, function: str, result: Any, *arguments: Any) -> None:
    declared = getattr(loaded, function)
    declared.restype, declared.argtypes = result, arguments


def _installed(*distributions: str) -> str:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise UnsupportedRelease(f"none of {', '.join(distributions)} is installed; install genai-operator[runtime]")


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # of a top-level package: this does not import it
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedRelease(f"the package {package} is not installed; install genai-operator[runtime]")
    return Path(spec.submodule_search_locations[0])
