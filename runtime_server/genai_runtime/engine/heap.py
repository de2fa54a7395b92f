"""glibc's heap: what is freed in it stays with the process until it is trimmed. How it is tuned is `child.py`'s."""

import ctypes


def trim() -> None:
    """Give the heap's unused pages back to the system; on a C library that cannot, nothing happens."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(ctypes.c_size_t(0))
