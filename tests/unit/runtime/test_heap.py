"""What is freed in the tuned heap of an engine process goes back to the system when it is trimmed."""

import os
import subprocess
import sys

from genai_runtime.engine.child import ENVIRONMENT

PROGRAM = """
import ctypes
from genai_runtime.engine import heap
from genai_runtime.engine.batch.memory import resident_bytes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size = 64 << 20
large, behind = [libc.malloc(ctypes.c_size_t(each)) for each in (size, 1 << 20)]
ctypes.memset(ctypes.c_void_p(large), 1, size)
held = resident_bytes()
libc.free(ctypes.c_void_p(large))
freed = resident_bytes()
heap.trim()
print(held - freed, freed - resident_bytes())
"""


def test_what_is_freed_between_others_goes_back_when_the_heap_is_trimmed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True
    )
    by_free, by_trim = map(int, done.stdout.split())
    assert by_free < 1 << 20  # it lies in the heap, below what is still in use
    assert by_trim > 60 << 20
