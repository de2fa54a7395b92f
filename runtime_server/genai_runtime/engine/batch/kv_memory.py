"""Memory for KV caches that costs nothing until it is written. What lies in it is the graph's business."""

import contextlib
import ctypes
import functools
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAP_NORESERVE = 0x4000  # Linux; Python names it from 3.13 on


def lazy_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of zeros whose pages are taken from the system when they are first written, 4 KiB at a time.

    Not numpy's own: numpy asks for huge pages, with which one position commits 2 MiB of each head of a row (a cache of
    16 rows of 4096 positions: 1.85 GB at once, instead of 0.3). The memory is freed with the array.
    """
    size = math.prod(shape) * dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    memory = mmap.mmap(-1, max(size, 1), flags=flags)
    with contextlib.suppress(OSError):  # a kernel without huge pages does not know the advice
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)


def give_back(array: NDArray[Any]) -> None:
    """Give the whole pages of a contiguous part of such an array back to the system; they are zeros again."""
    start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if start < stop and _libc().madvise(start, stop - start, mmap.MADV_DONTNEED):
        raise OSError(ctypes.get_errno(), "pages of the KV cache cannot be given back")


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return libc
