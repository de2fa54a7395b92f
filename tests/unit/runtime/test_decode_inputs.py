"""The masks of decode runs: written number by number, they are what they would be if written anew each time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.engine.batch.decode_inputs import DecodeInputs

ROWS, MAX_LENGTH = 4, 200


def shown(inputs: DecodeInputs, lengths: list[int]) -> None:
    width = inputs.write(lengths)
    assert width > max(lengths)
    assert width == MAX_LENGTH or width % 64 == 0
    mask = inputs.mask[: len(lengths) * width].reshape(len(lengths), width)
    assert np.array_equal(mask, np.arange(width) <= np.array(lengths)[:, None])
    assert inputs.positions[: len(lengths)].tolist() == lengths


def test_rows_grow_into_a_wider_mask() -> None:
    inputs = DecodeInputs(ROWS, MAX_LENGTH)
    for step in range(100):
        shown(inputs, [step, 62 + step, 3])


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(0, MAX_LENGTH - 1), min_size=1, max_size=ROWS))))
def test_whatever_rows_come_and_go(steps: list[tuple[int, list[int]]]) -> None:
    """Each start is followed by some steps; some rows wait, as those whose run is done again."""
    inputs = DecodeInputs(ROWS, MAX_LENGTH)
    for count, lengths in steps:
        shown(inputs, lengths)
        for number in range(count):
            lengths = [min(each + (row + number) % 2, MAX_LENGTH - 1) for row, each in enumerate(lengths)]
            shown(inputs, lengths)
