"""Calls in a lane run in order, and one that overruns holds up nobody but itself."""

import threading
from collections.abc import Callable, Iterator

import pytest

from genai_runtime.engine.batch.lane import Lane, Overrun


class Panic(BaseException):
    """What PyO3 raises for a panic: not an Exception."""


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets go of every call that the test has made to hang."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane("test-lane", seconds=0.05)
    yield made
    made.close()


def hang(release: threading.Event) -> Callable[[], str]:
    def call() -> str:
        assert release.wait(60)
        return "late"

    return call


def test_calls_run_in_order_in_one_thread(lane: Lane) -> None:
    seen: list[tuple[int, int]] = []
    calls = [lane.submit(lambda n=n: seen.append((n, threading.get_ident()))) for n in range(20)]
    for call in calls:
        lane.result(call)
    assert [n for n, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1


def test_errors_and_panics_reach_the_one_who_asked(lane: Lane) -> None:
    def raises(error: BaseException) -> Callable[[], None]:
        def call() -> None:
            raise error

        return call

    wrong, panic, sound = lane.submit(raises(ValueError("no"))), lane.submit(raises(Panic())), lane.submit(lambda: 7)
    with pytest.raises(ValueError, match="no"):
        lane.result(wrong)
    with pytest.raises(Panic):
        lane.result(panic)
    assert lane.result(sound) == 7


def test_a_call_that_overruns_is_given_up_and_the_next_goes_on(lane: Lane, release: threading.Event) -> None:
    slow, quick = lane.submit(hang(release)), lane.submit(lambda: "quick")
    assert lane.result(quick) == "quick"  # asked for first: waiting for it is what finds the slow one
    with pytest.raises(Overrun, match=r"longer than 0\.05 seconds"):
        lane.result(slow)


def test_waiting_without_blocking_gives_up_too(lane: Lane, release: threading.Event) -> None:
    slow = lane.submit(hang(release))
    pause = threading.Event()
    while not lane.done(slow):
        pause.wait(0.01)
    with pytest.raises(Overrun):
        lane.result(slow)


def test_too_many_lost_threads_refuse_calls_until_one_returns(lane: Lane, release: threading.Event) -> None:
    for _ in range(4):
        with pytest.raises(Overrun):
            lane.result(lane.submit(hang(release)))
    with pytest.raises(Overrun, match="4 others still run"):
        lane.result(lane.submit(lambda: "refused"))
    lost = [thread for thread in threading.enumerate() if thread.name == "test-lane"]
    assert len(lost) == 4
    release.set()
    for thread in lost:
        thread.join(10)
    assert lane.result(lane.submit(lambda: "again")) == "again"


def test_a_stack_of_its_own_holds_deep_calls() -> None:
    before = threading.stack_size()
    deep = Lane("deep-lane", seconds=30, stack_bytes=64 << 20)
    assert deep.result(deep.submit(lambda: threading.current_thread().name)) == "deep-lane"
    assert threading.stack_size() == before
    deep.close()
