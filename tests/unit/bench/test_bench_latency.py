"""The latency benchmark's figures: what a ratio is of, and that nothing is made up for what was not measured."""

from typing import Any

import pytest

from bench.latency.verdicts import EVERY, checks, default_vs_best, gain


def row(section: str, number: int, side: str, **figures: Any) -> dict[str, Any]:
    return {"section": section, "round": number, "side": side, "clients": 1, **figures}


def test_a_gain_is_of_sides_of_one_round_and_counts_loads_alike() -> None:
    rows = [
        row("threads", 0, "on", tokens_per_second=20.0),
        row("threads", 0, "off", tokens_per_second=10.0),
        row("threads", 1, "on", tokens_per_second=200.0),  # the machine is ten times as fast now
        row("threads", 1, "off", tokens_per_second=100.0),
        row("threads", 0, "on", tokens_per_second=5.0, clients=8),
        row("threads", 0, "off", tokens_per_second=10.0, clients=8),
        row("threads", 2, "on", tokens_per_second=1.0),  # its other side failed
    ]
    assert gain(rows, "threads") == pytest.approx(1.0)


def test_an_earlier_first_token_is_a_gain() -> None:
    rows = [row("warm_up", 0, "on", first_token_ms=10.0), row("warm_up", 0, "off", first_token_ms=40.0)]
    assert gain(rows, "warm_up") == pytest.approx(4.0)


def test_the_defaults_are_held_against_the_best() -> None:
    whole = {"section": "tuned", "clients": 8, "figures": [{"gainPercent": 25.0}], "notMeasured": []}
    assert default_vs_best([whole], 8) == pytest.approx(0.8)
    assert default_vs_best([whole], 1) is None
    rejected = {**whole, "figures": [{"gainPercent": 0.0}], "nearest": {"settings": {}, "gainPercent": [1.0]}}
    assert default_vs_best([rejected], 8) == pytest.approx(1 / 1.01)  # less than a recommendation is worth, and told
    assert default_vs_best([{**whole, "notMeasured": ["spinning"]}], 8) is None


def test_every_practice_has_its_check_and_no_value_without_rows() -> None:
    found = {each.id: each for each in checks([])}
    assert set(found) == {"default_vs_best_n1", "default_vs_best_n8", *(f"gain_{name}" for name in EVERY)}
    assert all(each.value is None and not each.holds for each in found.values())
