"""Slots and the queue: in order, bounded in number and in time, and no slot is ever lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from genai_runtime.errors import NotServing, Overloaded
from genai_runtime.front.admission import Admission, DeadlinePassed


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def hold(admission: Admission, order: list[int], number: int, release: asyncio.Event) -> None:
    async with admission.slot(None):
        order.append(number)
        await release.wait()


async def test_first_come_first_served() -> None:
    admission, order, release = Admission(1, 10, 60), [], asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, order, number, release)) for number in range(5)]
    await settle()
    assert (admission.running, admission.waiting, order) == (1, 4, [0])
    release.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_newcomer_does_not_overtake_a_slot_that_was_handed_over() -> None:
    admission, order, release = Admission(1, 10, 60), [], asyncio.Event()
    stack = AsyncExitStack()
    await stack.enter_async_context(admission.slot(None))
    waiting = asyncio.create_task(hold(admission, order, 1, release))
    await settle()
    await stack.aclose()  # the slot is handed over here, before the waiter has run
    late = asyncio.create_task(hold(admission, order, 2, release))
    release.set()
    await asyncio.gather(waiting, late)
    assert order == [1, 2]


async def test_a_full_queue_refuses_with_a_delay() -> None:
    admission = Admission(1, 0, 60)
    async with admission.slot(None):
        with pytest.raises(Overloaded, match="queue is full") as refused:
            async with admission.slot(None):
                pytest.fail("there is no slot")
    assert refused.value.retry_after > 0
    async with admission.slot(None):
        assert admission.running == 1


async def test_the_longest_wait_and_the_deadline_end_a_wait() -> None:
    admission = Admission(1, 5, 0.01)
    async with admission.slot(None):
        with pytest.raises(Overloaded, match=r"0\.01 s"):
            async with admission.slot(None):
                pytest.fail("there is no slot")
        with pytest.raises(DeadlinePassed):
            async with admission.slot(asyncio.get_running_loop().time()):
                pytest.fail("there is no slot")
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    admission, order, release = Admission(1, 5, 60), [], asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, order, number, release)) for number in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert admission.waiting == 1
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2]


async def test_a_slot_handed_to_a_waiter_that_is_cancelled_goes_on() -> None:
    admission, order, release = Admission(1, 5, 60), [], asyncio.Event()
    stack = AsyncExitStack()
    await stack.enter_async_context(admission.slot(None))
    tasks = [asyncio.create_task(hold(admission, order, number, release)) for number in (1, 2)]
    await settle()
    await stack.aclose()
    tasks[0].cancel()  # it has been given the slot, and does not know yet
    await settle()
    assert order == [2]
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert admission.running == 0


async def test_waiting_requests_can_be_refused() -> None:
    admission, order, release = Admission(1, 5, 60), [], asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, order, number, release)) for number in range(3)]
    await settle()
    admission.refuse_waiting(NotServing("halted", 1.0))
    await settle()
    assert [type(task.exception()) for task in tasks[1:]] == [NotServing, NotServing]
    release.set()
    await tasks[0]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_changes_are_told() -> None:
    seen: list[tuple[int, int]] = []
    admission = Admission(1, 1, 60, lambda: seen.append((admission.running, admission.waiting)))
    async with admission.slot(None):
        waiter = asyncio.create_task(hold(admission, [], 0, release := asyncio.Event()))
        await settle()
    release.set()
    await waiter
    assert (1, 1) in seen
    assert seen[-1] == (0, 0)
