"""Loads ONNX Runtime's own library and gives its C functions by name, with statuses turned into `OrtError`.

The library is the wheel's `libonnxruntime.so`, the same that GenAI uses in this process; the wheel's Python module
is not imported and need not be installed. Objects and their lifetimes are `ort.py`'s.
"""

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genai_runtime.engine.genai_capi import UnsupportedRelease, onnxruntime_folder
from genai_runtime.engine.ort_table import API_VERSION, CHECKED_CALLS, CHECKED_RELEASES, PLAIN_CALLS

_BUILD_INFO = "ORT Build Info"


class OrtError(Exception):
    """A call failed; the text is ONNX Runtime's own.

    `code` is the OrtErrorCode. A terminated run has the general code 1, so `terminated` looks at the text.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.terminated = "terminate flag" in message


class Library:
    """The functions of OrtApi by name, for `call` and `make`.

    Raises `UnsupportedRelease` for a release that was not checked with this binding, OSError if it cannot be loaded.
    """

    def __init__(self, path: Path, checked: Sequence[str] = CHECKED_RELEASES) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        base = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p))(("OrtGetApiBase", ctypes.CDLL(str(path))))()
        self.release = (ctypes.CFUNCTYPE(ctypes.c_char_p)(base[1])() or b"").decode()
        if not self.release.startswith(tuple(checked)):
            wanted = " or ".join(f"{each}x" for each in checked)
            raise UnsupportedRelease(
                f"{path} is onnxruntime {self.release}, not {wanted}, which was checked; install that"
            )
        table = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(base[0])(API_VERSION)
        if not table:
            raise UnsupportedRelease(f"{path} (onnxruntime {self.release}) does not offer API version {API_VERSION}")
        places = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
        self._checked = {
            name: ctypes.CFUNCTYPE(ctypes.c_void_p, *arguments)(places[place])
            for name, (place, arguments) in CHECKED_CALLS.items()
        }
        self._plain = {
            name: ctypes.CFUNCTYPE(result, *arguments)(places[place])
            for name, (place, result, arguments) in PLAIN_CALLS.items()
        }
        self.build = (self.plain("GetBuildInfoString") or b"").decode()
        if not self.build.startswith(_BUILD_INFO):
            raise UnsupportedRelease(f"{path}: OrtApi is not laid out as expected; install a release that was checked")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status; the interpreter is released meanwhile. Raises `OrtError`."""
        self.check(self._checked[name](*arguments))

    def function(self, name: str) -> Callable[..., Any]:
        """The bare function, for a caller that hands its result to `check` itself."""
        return self._checked[name]

    def check(self, status: int | None) -> None:
        """Raise `OrtError` unless the status is NULL, and free it."""
        if status:
            message = self.plain("GetErrorMessage", status) or b""
            error = OrtError(self.plain("GetErrorCode", status), message.decode(errors="replace"))
            self.plain("ReleaseStatus", status)
            raise error

    def make(self, name: str, *arguments: Any, kind: Any = ctypes.c_void_p) -> Any:
        """What the function puts into its last argument, None for NULL. Raises `OrtError`."""
        out = kind()
        self.call(name, *arguments, ctypes.byref(out))
        return out.value

    def releaser(self, name: str) -> Callable[[int], None]:
        """The bare function that frees an object of one kind."""
        free: Callable[[int], None] = self._plain[name]
        return free

    def plain(self, name: str, *arguments: Any) -> Any:
        """Call a function that cannot fail."""
        return self._plain[name](*arguments)


@functools.cache
def library() -> Library:
    """The installed one. Raises `UnsupportedRelease` or OSError."""
    folder = onnxruntime_folder() / "capi"
    found = sorted(folder.glob("libonnxruntime.so.*"))
    if len(found) != 1:
        raise UnsupportedRelease(
            f"{folder} should hold one libonnxruntime.so.*, but holds {len(found)}; reinstall onnxruntime"
        )
    return Library(found[0])
