"""The clock of a drain that was asked for, and what new requests are told meanwhile."""

import asyncio
import time

import pytest

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.drain import Drain, check_seconds
from genai_runtime.front.leaving import connection_age, seconds_to_leave
from genai_runtime.front.state import ServingState, StateHolder


def serving() -> StateHolder:
    state = StateHolder()
    state.update(warmed_up=True, engine_up=True)
    return state


async def test_what_came_before_may_begin_and_new_ones_hear_how_long_to_wait() -> None:
    state, ended = serving(), []
    drain = Drain(state, ended.append)
    drain.set(30)
    assert (state.state, state.ready) == (ServingState.DRAINING, False)
    refusal = state.refusal()
    assert refusal is not None
    assert 29 < refusal.retry_after <= 30
    assert "runtime option drain" in refusal.message
    assert state.refusal(accepted=True) is None
    drain.set(0)
    assert (state.state, state.ready, state.refusal()) == (ServingState.SERVING, True, None)
    assert ended == []


async def test_the_same_drain_again_does_not_start_the_clock_again() -> None:
    state, ended = serving(), []
    drain = Drain(state, ended.append)
    drain.set(1)
    before = state.refusal()
    await asyncio.sleep(0.05)
    drain.set(1)
    after = state._drain_until
    assert before is not None
    assert after is not None
    assert after - time.monotonic() <= 0.95
    drain.set(2)
    assert state._drain_until == after + 1
    drain.stop()


async def test_at_the_deadline_all_are_ended_once_and_refused_until_it_is_taken_away() -> None:
    state = serving()
    over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    drain = Drain(state, over.set_result)
    drain.set(1)
    assert await over == "the 1 s of the runtime option drain are over"
    refusal = state.refusal(accepted=True)
    assert refusal is not None
    assert refusal.retry_after == 5
    drain.set(1)
    drain.set(0)
    assert state.state is ServingState.SERVING


async def test_a_drain_that_is_asked_for_again_has_its_whole_time() -> None:
    state = serving()
    drain = Drain(state, lambda words: None)
    drain.set(10)
    first = state._drain_until
    drain.set(0)
    await asyncio.sleep(0.01)
    drain.set(10)
    assert first is not None
    assert state._drain_until is not None
    assert state._drain_until > first
    drain.stop()


async def test_a_server_that_ends_lets_those_finish_that_came_before() -> None:
    state = serving()
    drain = Drain(state, lambda words: None)
    drain.set(10)
    state.update(draining=True)
    assert state.refusal(accepted=True) is None
    refusal = state.refusal()
    assert refusal is not None
    assert "shutting down" in refusal.message
    drain.stop()


async def test_a_server_that_is_only_leaving_serves_and_refuses_as_before() -> None:
    state = serving()
    state.update(leaving=True)
    assert (state.state, state.ready, state.refusal()) == (ServingState.DRAINING, False, None)
    state.update(halted=True)
    refusal = state.refusal()
    assert refusal is not None
    assert "terminate-session" in refusal.message
    state.update(halted=False, draining=True)
    refusal = state.refusal()
    assert refusal is not None
    assert "shutting down" in refusal.message
    assert state.refusal(accepted=True) is None


@pytest.mark.parametrize(
    ("longest", "drain", "age"), [(10, 30, 10), (10, 3600, 10), (10, 9, 3), (10, 3, 1), (10, 2.9, 0), (0, 30, 0)]
)
def test_a_connections_age_leaves_most_of_the_drain_to_what_runs(longest: float, drain: float, age: float) -> None:
    assert connection_age(longest, drain) == age
    assert not age or seconds_to_leave(age, drain) < drain


@pytest.mark.parametrize("seconds", [0, 3601, 2**32 - 1])
def test_what_is_no_deadline_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^options\.drain"):
        check_seconds(seconds)
