"""A percentile of the last seconds, by exact values."""

import pytest

from genai_runtime.front.rolling import RollingPercentile


def test_one_in_a_hundred_may_be_long() -> None:
    rolling = RollingPercentile(0.08, 10)
    rolling.observe(0.02, 990)
    rolling.observe(5.0, 10)
    assert rolling.p99() <= 0.02 * 1.2
    rolling.observe(5.0)
    assert rolling.p99() == pytest.approx(5.0)


@pytest.mark.parametrize(("seconds", "missed"), [(0.0799, False), (0.08, False), (0.0801, True)])
def test_the_objective_is_compared_exactly(seconds: float, missed: bool) -> None:
    rolling = RollingPercentile(0.08, 3)
    rolling.observe(seconds, 5)
    assert (rolling.p99() > rolling.objective) is missed


def test_old_seconds_are_forgotten() -> None:
    rolling = RollingPercentile(0.08, 3)
    rolling.observe(1.0)
    for _ in range(2):
        rolling.advance()
    assert rolling.p99() == 1.0
    rolling.advance()
    assert rolling.p99() == 0.0


def test_what_is_longer_than_any_bound_is_still_seen() -> None:
    rolling = RollingPercentile(0.08, 3)
    rolling.observe(1e6)
    assert rolling.p99() == 1e6
