"""What it takes that ONNX Runtime rounds a position's results the same way in every run.

Floating-point sums depend on their order, and the CPU kernels choose it by the shapes they are given. That a row gets
the same bits alone and in a batch, and for any chunks of its prompt, therefore needs these three, each found by trying
and each shown by tests (`test_batch_graph.py`; the kernels are those of the releases that `ort_table.py` names):

- Flash attention, which saves memory in long prefills, works in tiles of positions: twice the head size. A tile of a
  single position takes another kernel. A run that would leave one gets one position more.
- With fewer heads than threads it splits a single row's decode over the threads, but not that of a batch; and for heads
  wider than 128 its sums depend on how full a tile is. In both cases plain attention is used.
- Plain attention with such wide heads sums in another order for a single position, and while there are no more than 64
  in the row. Shorter runs get positions until there are.

What is added lies behind the run, where nothing is read until the next run has written there.

No cache and no session: what is run is the graph's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_TILE = 16  # divides all tiles
_WIDE_HEAD = 128
_WIDE_POSITIONS = 65
_DISABLE_FLASH = "ORT_GQA_DISABLE_FLASH_ATTENTION"  # read when a session is made


class Rounding:
    """For a graph with `heads` attention heads a layer, on so many threads."""

    def __init__(self, head_size: int, heads: int, threads: int) -> None:
        self._wide = head_size > _WIDE_HEAD
        self._flash = not self._wide and heads >= threads

    @contextmanager
    def kernels(self) -> Iterator[None]:
        """A session made inside uses the right ones."""
        before = os.environ.get(_DISABLE_FLASH)
        os.environ[_DISABLE_FLASH] = "0" if self._flash else "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_DISABLE_FLASH]
            else:
                os.environ[_DISABLE_FLASH] = before

    def positions(self, past: int, count: int) -> int:
        """How many positions a run over `count`, after `past` others, is to compute: at least `count`."""
        if self._wide:
            return max(count, 2, _WIDE_POSITIONS - past)
        if self._flash and count % _TILE == 1:
            return count + 1
        return count
