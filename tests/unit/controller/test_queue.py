"""The work queue: one worker a key, no lost keys, back-off, and one key's failure is its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from genai_operator.clients.kube import retry_after
from genai_operator.errors import ClusterUnavailable
from genai_operator.services.queue import Process, QueueMetrics, WorkQueue, back_off


@asynccontextmanager
async def running(process: Process, *, workers: int = 4, jitter: float = 0.5) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(
        process, workers=workers, metrics=QueueMetrics("test", CollectorRegistry()), jitter=lambda: jitter
    )
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is plain data of the test
            await asyncio.sleep(0)


async def test_a_key_added_many_times_is_processed_once() -> None:
    done: list[str] = []

    async def process(key: str) -> None:
        done.append(key)

    async with running(process) as queue:
        for _ in range(10):
            queue.add("a/b")
        queue.add("a/c")
        await until(lambda: len(done) == 2)
        await asyncio.sleep(0)
    assert sorted(done) == ["a/b", "a/c"]


async def test_a_key_added_while_it_is_processed_is_processed_again_and_never_in_parallel() -> None:
    gate = asyncio.Event()
    running_now, most, passes = 0, 0, 0

    async def process(key: str) -> None:
        nonlocal running_now, most, passes
        running_now += 1
        most = max(most, running_now)
        await gate.wait()
        running_now -= 1
        passes += 1

    async with running(process) as queue:
        queue.add("a/b")
        await until(lambda: running_now == 1)
        queue.add("a/b")
        queue.add("a/b")
        gate.set()
        await until(lambda: passes == 2)
    assert most == 1


async def test_workers_bound_how_many_keys_are_processed_at_the_same_time() -> None:
    gate = asyncio.Event()
    running_now, most = 0, 0

    async def process(key: str) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await gate.wait()
        running_now -= 1

    async with running(process, workers=3) as queue:
        for number in range(9):
            queue.add(f"a/{number}")
        await until(lambda: running_now == 3)
        assert len(queue) == 6
        gate.set()
        await until(lambda: running_now == 0 and len(queue) == 0)
    assert most == 3


@pytest.mark.parametrize("error", [ClusterUnavailable("no answer"), ValueError("a bug")])
async def test_a_failure_is_retried_and_touches_no_other_key(error: Exception) -> None:
    passes: list[str] = []

    async def process(key: str) -> None:
        passes.append(key)
        if key == "a/bad" and passes.count(key) < 3:
            raise error

    async with running(process, jitter=-1.4) as queue:
        queue.add("a/bad")
        queue.add("a/good")
        await until(lambda: passes.count("a/bad") == 3)
    assert passes.count("a/good") == 1


async def test_what_happens_now_goes_before_what_is_only_looked_at_again() -> None:
    gate, order = asyncio.Event(), []

    async def process(key: str) -> None:
        if not order:
            order.append(key)
            await gate.wait()
            return
        order.append(key)

    async with running(process, workers=1) as queue:
        queue.add("first")
        await until(lambda: order == ["first"])
        for number in range(3):
            queue.add(f"old/{number}", background=True)
        queue.add("new")
        queue.add("old/2")  # an event for a key that waited in the background moves it forward
        gate.set()
        await until(lambda: len(order) == 5)
    assert order == ["first", "new", "old/2", "old/0", "old/1"]


async def test_a_pass_can_ask_to_be_repeated_and_the_earliest_delay_counts() -> None:
    passes: list[str] = []

    async def process(key: str) -> float | None:
        passes.append(key)
        return 0.0 if len(passes) < 3 else None

    async with running(process) as queue:
        queue.add_after("a/b", 3600)
        queue.add_after("a/b", 0.0)
        await until(lambda: len(passes) == 3)
        queue.add_after("a/b", 3600)
        queue.forget("a/b")
    assert len(passes) == 3


def test_a_delay_of_no_time_is_one_on_the_operators_own_event_loop() -> None:
    passes: list[str] = []

    async def process(key: str) -> float | None:
        passes.append(key)
        return None

    async def twice() -> None:
        async with running(process) as queue:
            for seconds in (0.0001, 0.0, 0.0004, 3600.0):
                queue.add_after("a/b", seconds)
            await until(lambda: passes == ["a/b"])

    uvloop.run(twice())


def test_back_off_doubles_from_a_tenth_of_a_second_to_a_minute_and_jitters_by_a_quarter() -> None:
    assert [back_off(n, 0.5) for n in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert back_off(1000, 0.5) == 60.0
    assert (back_off(1, 0.0), back_off(1, 1.0)) == pytest.approx((0.075, 0.125))


async def test_the_api_servers_own_pause_is_kept() -> None:
    passes = 0

    async def process(key: str) -> None:
        nonlocal passes
        passes += 1
        raise ClusterUnavailable("429", retry_after=0.0 if passes < 3 else 3600.0)

    async with running(process, jitter=-1.4) as queue:
        queue.add("a/b")
        await until(lambda: passes == 3)
        await asyncio.sleep(0)
        assert queue._timers["a/b"].at > asyncio.get_running_loop().time() + 3000


@pytest.mark.parametrize(
    ("header", "seconds"), [("1", 1.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("9e9", 60.0)]
)
def test_the_retry_after_header(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds
