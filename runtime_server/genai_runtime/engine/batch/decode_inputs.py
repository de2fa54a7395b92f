"""What a decode run is told of its rows' lengths: the attention mask, and the positions where the graph wants them.

From one run to the next most rows grow by one position: then one number a row is written, and no array is gone through.
Python and numpy code finds its caches cold between two runs of the model, so what is not done here counts. Which rows
decode, and what is bound to a run, is not known here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WIDTH_STEP = 64  # widths of masks are multiples: few different shapes for ONNX Runtime to plan memory for


class DecodeInputs:
    """Buffers for up to `rows` rows: `mask`, of which the first n * width values are a run's, and `positions`."""

    def __init__(self, rows: int, max_length: int) -> None:
        self.mask: NDArray[np.int64] = np.zeros(rows * max_length, np.int64)
        self.positions: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._mask, self._positions = self.mask.data, self.positions.data
        self._columns: NDArray[np.int64] = np.arange(max_length)
        self._lengths: list[int] = []
        self._width = 0

    def write(self, lengths: Sequence[int]) -> int:
        """Row i has lengths[i] positions and gets one more; the mask's width, [n, width]."""
        width = min(-(-(max(lengths) + 1) // _WIDTH_STEP) * _WIDTH_STEP, len(self._columns))
        if width != self._width or len(lengths) != len(self._lengths) or not self._grow(lengths):
            self._write_all(lengths, width)
        return width

    def _grow(self, lengths: Sequence[int]) -> bool:
        """Whether all rows are as long as they were or longer by one; then that is written."""
        mask, known, start = self._mask, self._lengths, 0
        for row, length in enumerate(lengths):
            if length == known[row] + 1:
                mask[start + length] = 1
                self._positions[row] = known[row] = length
            elif length != known[row]:
                return False
            start += self._width
        return True

    def _write_all(self, lengths: Sequence[int], width: int) -> None:
        rows = len(lengths)
        self._lengths, self._width = [int(each) for each in lengths], width
        self.positions[:rows] = self._lengths
        mask = self.mask[: rows * width].reshape(rows, width)
        np.less_equal(self._columns[:width], self.positions[:rows, None], out=mask, casting="unsafe")
