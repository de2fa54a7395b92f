"""Tests that need an NVIDIA GPU, and no cluster: `make test-gpu`. `pytest tests` does not come here (norecursedirs)."""

import ctypes

import pytest

from genai_runtime.engine import genai_capi
from genai_runtime.engine.providers import CUDA_LIBRARY


def why_not() -> str:
    """What keeps these tests from running here; empty when nothing does."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1) on this machine"
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU"
    if not (genai_capi.genai_folder() / CUDA_LIBRARY).is_file():
        return "the CPU build of ONNX Runtime GenAI is installed; install runtime_server/requirements-cuda.txt"
    return ""


def pytest_sessionstart() -> None:
    """End at once: a skipped test would look like a passed one."""
    reason = why_not()
    if reason:
        pytest.exit(f"the GPU tests cannot run here: {reason}", returncode=2)
