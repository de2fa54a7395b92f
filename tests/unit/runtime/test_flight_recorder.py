"""When the flight recorder opens a window, what it says, and what it compares with."""

import dataclasses
import time
from collections.abc import Callable

import pytest

from genai_runtime.errors import AnotherWindowOpen
from genai_runtime.front.flight_recorder import FlightRecorder
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.ports import WantedRecorder, WantedWindow
from genai_runtime.profiling.growth import OperatorGrowth, grown
from genai_runtime.profiling.record import Profile, ProfileState, from_json, to_json
from genai_runtime.profiling.summary import OperatorTime
from support.runtime import RecordedProfiles

CPU = "CPUExecutionProvider"
WANTED = WantedRecorder(inter_token_p99_seconds=0.08, for_seconds=3.0, max_per_hour=2)


class Busy(RecordedProfiles):
    """Somebody else's window is open."""

    busy = False

    async def open_unless_busy(self, wanted: WantedWindow, trigger: str) -> Profile:
        if self.busy:
            raise AnotherWindowOpen("the profiling window other is open")
        return await super().open_unless_busy(wanted, trigger)


class Bench:
    """A recorder, and seconds that pass by hand."""

    def __init__(self) -> None:
        self.metrics, self.now = Metrics(), 1000.0
        self.profiles = Busy(folder=None)  # type: ignore[arg-type]  # no trace is asked for
        self.recorder = FlightRecorder(self.metrics, self.profiles, clock=lambda: self.now)
        self.end: Callable[[Profile], Profile] = self.profiles.listener

    async def seconds(self, count: int, inter_token: float = 0.0, first_token: float = 0.0) -> None:
        for _ in range(count):
            if inter_token:
                self.metrics.inter_token_seconds.observe(inter_token, 20)
            if first_token:
                self.metrics.first_token_seconds.observe(first_token)
            self.now += 1
            await self.recorder.look()

    @property
    def triggers(self) -> list[str]:
        return [profile.trigger for profile in reversed(self.profiles.profiles)]


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    made.recorder.configure(WANTED)
    made.recorder.stop()  # the test's own seconds, not the clock's
    return made


async def test_a_missed_objective_opens_a_window_after_its_time_and_says_so(bench: Bench) -> None:
    await bench.seconds(3, inter_token=0.13)
    assert bench.triggers == []
    await bench.seconds(1, inter_token=0.13)
    assert bench.triggers == ["p99 of the time between two tokens was 130 ms, over 80 ms for 3 s"]
    assert bench.profiles.calls == ["open flight-recorder"]


async def test_an_objective_that_is_met_in_between_begins_anew(bench: Bench) -> None:
    await bench.seconds(3, inter_token=0.13)
    await bench.seconds(3)  # the slow tokens roll out of sight
    await bench.seconds(3, inter_token=0.13)
    assert bench.triggers == []


async def test_no_traffic_is_no_miss(bench: Bench) -> None:
    await bench.seconds(100)
    assert bench.triggers == []


async def test_no_more_than_so_many_an_hour(bench: Bench) -> None:
    await bench.seconds(600, inter_token=0.2)
    assert len(bench.triggers) == 2
    bench.now += 3600
    await bench.seconds(1, inter_token=0.2)
    assert len(bench.triggers) == 3


async def test_another_window_goes_first_and_costs_no_turn(bench: Bench) -> None:
    bench.profiles.busy = True
    await bench.seconds(60, inter_token=0.2)
    assert bench.triggers == []
    bench.profiles.busy = False
    await bench.seconds(10, inter_token=0.2)
    assert len(bench.triggers) == 2


async def test_the_first_token_has_an_objective_of_its_own(bench: Bench) -> None:
    bench.recorder.configure(WantedRecorder(time_to_first_token_p99_seconds=2.0, for_seconds=1.0))
    bench.recorder.stop()
    await bench.seconds(5, inter_token=9.0)
    assert bench.triggers == []
    await bench.seconds(5, first_token=2.5)
    assert bench.triggers == ["p99 of the time to the first token was 2500 ms, over 2000 ms for 1 s"]


async def test_switched_off_it_hears_nothing(bench: Bench) -> None:
    bench.recorder.configure(None)
    assert bench.metrics.inter_token_seconds.watcher is None
    await bench.seconds(60, inter_token=0.2)
    assert bench.triggers == []


def complete(milliseconds_ago: int = 0, trigger: str = "", **times: float) -> Profile:
    opened = time.time_ns() // 1_000_000 + 1 - milliseconds_ago
    operators = tuple(OperatorTime(kind, CPU, took) for kind, took in times.items())
    found = Profile("a-20260101T000000Z-1", "a", ProfileState.COMPLETE, opened, trigger=trigger)
    return dataclasses.replace(found, operators=operators)


async def test_what_grew_is_told_against_the_last_good_window(bench: Bench) -> None:
    bench.recorder.warmup = (OperatorTime("MatMul", CPU, 1.0),)
    good = complete(MatMul=100.0, Add=10.0)
    assert bench.end(good) == good
    ended = bench.end(complete(trigger="slow", MatMul=140.0, Add=10.1, Gather=5.0))
    assert ended.grown == (OperatorGrowth("MatMul", CPU, 140.0, 100.0), OperatorGrowth("Gather", CPU, 5.0, 0.0))
    assert ended.trigger == "slow; MatMul took 140 us a run, 100 before"


async def test_a_window_from_before_or_in_bad_times_is_no_measure(bench: Bench) -> None:
    bench.recorder.warmup = (OperatorTime("MatMul", CPU, 70.0),)
    bench.end(complete(milliseconds_ago=60_000, MatMul=1.0))
    failed = dataclasses.replace(complete(MatMul=1.0), state=ProfileState.FAILED)
    assert bench.end(failed) == failed
    await bench.seconds(2, inter_token=0.2)
    bench.end(complete(milliseconds_ago=1000, MatMul=1.0))
    ended = bench.end(complete(trigger="slow", MatMul=140.0))
    assert ended.grown == (OperatorGrowth("MatMul", CPU, 140.0, 70.0),)


def test_with_nothing_to_compare_with_nothing_grew() -> None:
    assert grown((), [OperatorTime("MatMul", CPU, 1.0)]) == ()


def test_a_profile_keeps_what_triggered_it() -> None:
    profile = dataclasses.replace(
        complete(trigger="slow", MatMul=2.0), grown=(OperatorGrowth("MatMul", CPU, 2.0, 1.0),)
    )
    assert from_json(to_json(profile)) == profile
