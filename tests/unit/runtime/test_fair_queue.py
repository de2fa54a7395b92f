"""The queue's order, against one that is looked up in a plain list."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.front.fair_queue import FairQueue


@dataclass(eq=False)
class Entry:
    client: str
    priority: int = 0


ENTRIES = st.lists(st.builds(Entry, st.sampled_from("abc"), st.integers(0, 1)), max_size=20)


def filled(entries: Iterable[Entry]) -> FairQueue[Entry]:
    queue: FairQueue[Entry] = FairQueue()
    for entry in entries:
        queue.push(entry)
    return queue


@given(entries=ENTRIES)
def test_priorities_fall_and_each_client_keeps_its_order(entries: list[Entry]) -> None:
    queue = filled(entries)
    order = [queue.pop() for _ in entries]
    assert [entry.priority for entry in order] == sorted((entry.priority for entry in order), reverse=True)
    for priority in (0, 1):
        for client in "abc":
            mine = [entry for entry in entries if (entry.client, entry.priority) == (client, priority)]
            assert [entry for entry in order if (entry.client, entry.priority) == (client, priority)] == mine
    assert len(queue) == 0


@given(counts=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 6), min_size=1))
def test_nobody_gets_two_turns_before_everybody_had_one(counts: dict[str, int]) -> None:
    queue = filled(Entry(client) for client, count in counts.items() for _ in range(count))
    served = dict.fromkeys(counts, 0)
    while len(queue):
        served[queue.pop().client] += 1
        left = [client for client in counts if served[client] < counts[client]]
        assert all(served[client] >= max(served.values()) - 1 for client in left)


@given(entries=ENTRIES, client=st.sampled_from("abcd"), priority=st.integers(0, 1))
def test_those_ahead_are_those_that_are_served_before(entries: list[Entry], client: str, priority: int) -> None:
    queue = filled(entries)
    ahead = queue.ahead_of(client, priority)
    newcomer = Entry(client, priority)
    queue.push(newcomer)
    before: list[Entry] = []
    while (entry := queue.pop()) is not newcomer:
        before.append(entry)
    assert {id(entry) for entry in before} <= {id(entry) for entry in ahead}
    assert len(ahead) - len(before) <= 3  # a client that comes after the newcomer in the round


@given(entries=ENTRIES, data=st.data())
def test_removing_leaves_the_others(entries: list[Entry], data: st.DataObject) -> None:
    queue = filled(entries)
    gone = data.draw(st.lists(st.sampled_from(entries), unique_by=id)) if entries else []
    assert all(queue.remove(entry) for entry in gone)
    assert not any(queue.remove(entry) for entry in gone)
    left = {id(entry) for entry in entries} - {id(entry) for entry in gone}
    assert {id(entry) for entry in queue} == left
    assert len(queue) == len(left)
    assert {id(queue.pop()) for _ in left} == left


def test_nothing_gives_way_to_one_who_would_have_as_much() -> None:
    queue = filled([Entry("a"), Entry("a"), last := Entry("a"), Entry("b")])
    assert queue.give_way("b", 0) is last
    assert queue.give_way("a", 0) is None
    assert queue.give_way("b", -1) is None
    assert queue.give_way("a", 1) is last
    assert FairQueue[Entry]().give_way("a", 0) is None


def test_an_empty_queue_has_nothing_to_give() -> None:
    queue: FairQueue[Entry] = FairQueue()
    assert queue.first() is None
    with pytest.raises(IndexError):
        queue.pop()
