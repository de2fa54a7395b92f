"""Who joins, who is put off, how prompts are cut, and where rows go: the batch engine's pure decisions."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.engine.batch.schedule import chunk_length, next_to_join, victim
from genai_runtime.engine.batch.slots import Slots


@dataclass(frozen=True)
class Request:
    number: int
    priority: int = 0
    preempted: bool = False


def test_the_oldest_of_the_highest_priority_joins_first() -> None:
    assert next_to_join([Request(1), Request(3, 5), Request(2, 5), Request(4, -1)]) == Request(2, 5)
    assert next_to_join([]) is None


def test_who_was_put_off_goes_before_all_others() -> None:
    assert next_to_join([Request(1, 9), Request(7, 0, preempted=True)]) == Request(7, 0, preempted=True)


def test_the_youngest_of_the_lowest_priority_is_put_off() -> None:
    assert victim([Request(1), Request(2), Request(3, 1)]) == Request(2)
    assert victim([Request(9, 1), Request(1, 2)]) == Request(9, 1)
    assert victim([]) is None


@given(total=st.integers(0, 2000), chunk=st.integers(16, 300), cached=st.integers(0, 125))
def test_a_prompt_is_computed_whole_and_a_single_token_never_left_over(total: int, chunk: int, cached: int) -> None:
    done = first = min(cached * 16, total // 16 * 16)
    chunks = []
    while count := chunk_length(done, total, chunk):
        chunks.append(count)
        done += count
    assert done == total
    assert all(count <= chunk + 1 for count in chunks)
    assert 1 not in chunks or total - first == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("insert"), st.sampled_from("abc")), st.tuples(st.just("remove"), st.integers(0, 7))
        ),
        max_size=40,
    )
)
def test_moves_keep_every_request_in_its_row_and_adapters_together(actions: list[tuple[str, str | int]]) -> None:
    slots: Slots[int] = Slots(8)
    content: list[int | None] = [None] * 8  # what the rows' memory would hold
    keys: dict[int, str] = {}
    for number, (action, value) in enumerate(actions):
        if action == "insert" and not slots.full:
            free = len(slots)
            row, moves = slots.insert(number, value)
            assert not moves or moves[0].target == free
            for move in moves:
                content[move.target] = content[move.source]
            content[row] = number
            keys[number] = str(value)
        elif action == "remove" and isinstance(value, int) and value < len(slots):
            for move in slots.remove(value):
                content[move.target] = content[move.source]
        assert content[: len(slots)] == slots.items
        order = [keys[item] for item in slots.items]
        assert len([1 for one, other in pairwise(order) if one != other]) == max(0, len(set(order)) - 1)
        assert [(group.key, group.count) for group in slots.groups()] == [
            (key, order.count(key)) for key in dict.fromkeys(order)
        ]


def test_a_full_house_takes_nobody() -> None:
    slots: Slots[int] = Slots(1)
    slots.insert(1, "")
    with pytest.raises(ValueError, match="1 rows"):
        slots.insert(2, "")


def test_a_row_from_the_end_leaves_without_a_copy() -> None:
    slots: Slots[str] = Slots(3)
    for item in "xyz":
        slots.insert(item, "")
    assert slots.remove(2) == []
    assert [(move.source, move.target) for move in slots.remove(0)] == [(1, 0)]
    assert slots.items == ["y"]
