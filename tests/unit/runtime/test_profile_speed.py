"""How much slower tokens come inside a window: which steps are compared with which, and when nothing can be said."""

import pytest

from genai_runtime.profiling.speed import LEAST_TOKENS, SpeedMeter


class Steps:
    """An engine's steps on a clock of the test's own."""

    def __init__(self) -> None:
        self.meter = SpeedMeter()
        self.now = 100.0
        self.tokens = self.prefills = self.positions = 0

    def decode(
        self, count: int, seconds: float, made: int = 1, each_position: float = 0.0, *, captured: bool = False
    ) -> None:
        for _ in range(count):
            self.positions += made
            self.now += seconds + each_position * self.positions
            self.tokens += made
            self.meter.step(self.now, self.tokens, self.prefills, self.positions, captured=captured, busy=True)

    def prefill(self, seconds: float) -> None:
        self.now += seconds
        self.prefills += 1
        self.tokens += 1
        self.meter.step(self.now, self.tokens, self.prefills, self.positions, captured=False, busy=True)

    def idle(self, seconds: float) -> None:
        self.meter.step(self.now, self.tokens, self.prefills, self.positions, captured=False, busy=False)
        self.now += seconds


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_twice_as_long_is_half_the_speed(steps: Steps) -> None:
    steps.decode(101, 0.01)
    steps.meter.begin()
    steps.decode(100, 0.02, captured=True)
    assert steps.meter.end() == pytest.approx(50)


def test_skipped_steps_are_what_captured_ones_are_compared_with(steps: Steps) -> None:
    steps.decode(500, 0.5)  # what was before says nothing of now
    steps.meter.begin()
    for _ in range(10):
        steps.decode(99, 0.01)
        steps.decode(1, 0.11, captured=True)
    assert steps.meter.end() == pytest.approx(100 * 0.1 / 1.1)


def test_a_window_that_captured_no_decoding_says_nothing(steps: Steps) -> None:
    steps.decode(500, 0.01)
    steps.meter.begin()
    steps.decode(500, 0.02)
    assert steps.meter.end() is None


def test_other_batches_idle_times_and_prompts_count_for_nothing(steps: Steps) -> None:
    steps.decode(101, 0.01)
    steps.decode(100, 0.03, made=8)
    steps.meter.begin()
    steps.prefill(5)
    steps.decode(100, 0.03, made=8, captured=True)
    steps.idle(60)
    steps.decode(100, 0.01, captured=True)
    steps.decode(100, 9.9, made=3, captured=True)  # such a batch was not seen before
    assert steps.meter.end() == pytest.approx(0, abs=1e-6)


def test_contexts_that_grow_are_no_cost_of_the_window(steps: Steps) -> None:
    steps.decode(101, 0.001, each_position=1e-5)
    steps.meter.begin()
    steps.decode(500, 0.001, each_position=1e-5, captured=True)
    assert steps.meter.end() == pytest.approx(0, abs=1e-6)


def test_a_cost_is_seen_beside_growing_contexts(steps: Steps) -> None:
    steps.decode(101, 0.001, each_position=1e-5)
    steps.meter.begin()
    before = steps.now
    steps.decode(500, 0.002, each_position=1e-5, captured=True)
    assert steps.meter.end() == pytest.approx(100 * 500 * 0.001 / (steps.now - before), rel=1e-6)


def test_times_that_fall_with_the_context_are_taken_as_constant(steps: Steps) -> None:
    steps.decode(101, 0.01, each_position=-5e-5)
    mean = (steps.now - 100.0) / 101
    steps.meter.begin()
    steps.decode(1000, mean, captured=True)
    found = steps.meter.end()
    assert found is not None
    assert abs(found) < 1


@pytest.mark.parametrize(("before", "inside"), [(LEAST_TOKENS - 1, 500), (500, LEAST_TOKENS - 1), (0, 500), (500, 0)])
def test_too_few_tokens_on_either_side_say_nothing(steps: Steps, before: int, inside: int) -> None:
    steps.meter.step(steps.now, 0, 0, 0, captured=False, busy=True)
    steps.decode(before, 0.01)
    steps.meter.begin()
    steps.decode(inside, 0.01, captured=True)
    assert steps.meter.end() is None


def test_only_the_last_seconds_before_count(steps: Steps) -> None:
    steps.decode(300, 0.1)
    steps.decode(2000, 0.01)
    steps.meter.begin()
    steps.decode(100, 0.01, captured=True)
    assert steps.meter.end() == pytest.approx(0, abs=1e-6)


def test_a_windows_own_time_is_not_before_the_next_one(steps: Steps) -> None:
    steps.decode(101, 0.01)
    steps.meter.begin()
    steps.decode(100, 0.04, captured=True)
    steps.meter.end()
    steps.meter.begin()
    steps.decode(100, 0.01, captured=True)
    assert steps.meter.end() == pytest.approx(0, abs=1e-6)
