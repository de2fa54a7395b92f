"""Slots and the queue: in order, bounded in number and in time, and no slot is ever lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from genai_runtime.errors import NotServing, Overloaded
from genai_runtime.front.admission import Admission, DeadlinePassed, Turn


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def hold(admission: Admission, order: list[int], number: int, release: asyncio.Event) -> None:
    async with admission.slot(Turn()):
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
    await stack.enter_async_context(admission.slot(Turn()))
    waiting = asyncio.create_task(hold(admission, order, 1, release))
    await settle()
    await stack.aclose()  # the slot is handed over here, before the waiter has run
    late = asyncio.create_task(hold(admission, order, 2, release))
    release.set()
    await asyncio.gather(waiting, late)
    assert order == [1, 2]


async def test_a_full_queue_refuses_with_a_delay() -> None:
    admission = Admission(1, 0, 60)
    async with admission.slot(Turn()):
        with pytest.raises(Overloaded, match="queue is full") as refused:
            async with admission.slot(Turn()):
                pytest.fail("there is no slot")
    assert refused.value.retry_after > 0
    async with admission.slot(Turn()):
        assert admission.running == 1


async def test_the_longest_wait_and_the_deadline_end_a_wait() -> None:
    admission = Admission(1, 5, 0.01)
    async with admission.slot(Turn()):
        with pytest.raises(Overloaded, match=r"0\.01 s"):
            async with admission.slot(Turn()):
                pytest.fail("there is no slot")
        with pytest.raises(DeadlinePassed):
            async with admission.slot(Turn(deadline=asyncio.get_running_loop().time() + 0.005)):
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
    await stack.enter_async_context(admission.slot(Turn()))
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
    async with admission.slot(Turn()):
        waiter = asyncio.create_task(hold(admission, [], 0, release := asyncio.Event()))
        await settle()
    release.set()
    await waiter
    assert (1, 1) in seen
    assert seen[-1] == (0, 0)


async def queue_up(admission: Admission, order: list[str], *turns: Turn) -> list[asyncio.Task[None]]:
    """Each turn arrives after the one before it, and gives its slots back at once."""

    async def one(turn: Turn) -> None:
        async with admission.slot(turn):
            order.append(turn.name)

    tasks = []
    for turn in turns:
        tasks.append(asyncio.create_task(one(turn)))
        await settle()
    return tasks


async def test_clients_take_turns_and_priorities_go_first() -> None:
    admission, order = Admission(1, 10, 60), []
    async with admission.slot(Turn()):
        tasks = await queue_up(
            admission,
            order,
            *(Turn(f"a{number}", "ann") for number in range(3)),
            Turn("b0", "bob"),
            Turn("c0", "cid", priority=1),
            Turn("b1", "bob"),
        )
    await asyncio.gather(*tasks)
    assert order == ["c0", "a0", "b0", "a1", "b1", "a2"]


async def test_a_turn_of_many_slots_is_not_overtaken() -> None:
    admission, order = Admission(4, 10, 60), []
    async with admission.slot(Turn(slots=3)):
        tasks = await queue_up(admission, order, Turn("many", "ann", slots=4), Turn("few", "bob", slots=1))
        assert order == []
        assert (admission.running, admission.free_slots) == (1, 1)
    await asyncio.gather(*tasks)
    assert order == ["many", "few"]
    assert admission.free_slots == 4


async def test_those_behind_a_turn_that_gives_up_go_on() -> None:
    admission, order = Admission(4, 10, 60), []
    async with admission.slot(Turn(slots=3)):
        tasks = await queue_up(admission, order, Turn("many", slots=4), Turn("few", slots=1))
        assert admission.withdraw("many", NotServing("no more", 1.0))
        await settle()
        assert order == ["few"]
        assert not admission.withdraw("many", NotServing("no more", 1.0))
    assert isinstance((await asyncio.gather(*tasks, return_exceptions=True))[0], NotServing)


async def test_a_full_queue_makes_room_for_who_has_less_there() -> None:
    admission, order = Admission(1, 3, 60), []
    async with admission.slot(Turn()):
        tasks = await queue_up(admission, order, *(Turn(f"a{number}", "ann") for number in range(3)))
        tasks += await queue_up(admission, order, Turn("b0", "bob"))
        assert admission.waiting == 3
        with pytest.raises(Overloaded, match="queue is full"):
            async with admission.slot(Turn("a3", "ann")):
                pytest.fail("there is no slot")
        with pytest.raises(Overloaded, match="queue is full"):
            async with admission.slot(Turn("b1", "bob")):
                pytest.fail("there is no slot")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a0", "b0", "a1"]
    assert isinstance(ends[2], Overloaded)
    assert ends[2].retry_after > 0


async def test_a_full_queue_makes_room_for_a_higher_priority() -> None:
    admission, order = Admission(1, 1, 60), []
    async with admission.slot(Turn()):
        tasks = await queue_up(admission, order, Turn("low", "ann"), Turn("high", "ann", priority=5))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["high"]
    assert isinstance(ends[0], Overloaded)


class Clock:
    """Stands for the event loop's, where seconds are counted and not waited for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


async def served_for(admission: Admission, clock: Clock, seconds: float, times: int) -> None:
    for _ in range(times):
        async with admission.slot(Turn()):
            clock.now += seconds


async def test_a_deadline_that_cannot_be_met_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, loop = Clock(), asyncio.get_running_loop()
    admission, order = Admission(2, 50, 600), []
    monkeypatch.setattr(loop, "time", clock.time)
    assert admission.expected_wait() == 0
    await served_for(admission, clock, 10.0, 8)
    async with admission.slot(Turn(slots=2)):
        assert admission.expected_wait() == pytest.approx(5.0)
        tasks = await queue_up(admission, order, *(Turn(f"a{number}", "ann") for number in range(6)))
        assert admission.expected_wait("ann") == pytest.approx(35.0)
        assert admission.expected_wait("bob") == pytest.approx(10.0)  # behind one of ann's
        assert admission.expected_wait("bob", priority=1) == pytest.approx(5.0)
        with pytest.raises(
            Overloaded, match=r"about 35\.0 s long, and the request's deadline is in 30\.0 s"
        ) as refused:
            async with admission.slot(Turn("late", "ann", deadline=clock.now + 30.0)):
                pytest.fail("there is no slot")
        assert refused.value.retry_after == pytest.approx(35.0)
        tasks += await queue_up(admission, order, Turn("soon", "bob", deadline=clock.now + 30.0))
        assert admission.waiting == 7
    await asyncio.gather(*tasks)
    assert order[1] == "soon"


async def test_a_deadline_that_has_passed_takes_no_slot() -> None:
    admission = Admission(1, 5, 60)
    with pytest.raises(DeadlinePassed, match="when the request arrived"):
        async with admission.slot(Turn(deadline=asyncio.get_running_loop().time() - 1.0)):
            pytest.fail("it is too late")
    assert (admission.running, admission.free_slots) == (0, 1)
