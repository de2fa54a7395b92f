"""Durations, ages, sizes and tables as people write and read them."""

from datetime import UTC, datetime

import pytest

from genai_kubectl.decisions.quantities import age, duration, parse_duration, percent, size
from genai_kubectl.output import columns

NOW = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("2d", 172_800), ("0", 0)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "-1s", "1 m", "m5", "1s2", "∞", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(0.0124, "12 ms"), (4.21, "4.2 s"), (200, "3m20s"), (7500, "2h5m")])
def test_a_duration_is_written(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ("2026-01-09T23:59:59Z", "1s"),
        ("2026-01-09T23:58:30Z", "90s"),
        ("2026-01-09T23:50:00Z", "10m"),
        ("2026-01-09T20:00:00Z", "4h"),
        ("2026-01-05T00:00:00Z", "5d"),
        ("2023-01-05T00:00:00Z", "3y"),
        ("2026-01-10T00:00:09Z", "0s"),
        ("", "<unknown>"),
    ],
)
def test_an_age_is_kubectls(since: str, text: str) -> None:
    assert age(since, NOW) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (9321, "9.1 KiB"), (2**26, "64.0 MiB"), (2**42, "4096.0 GiB")]
)
def test_a_size_is_written(count: int, text: str) -> None:
    assert size(count) == text


def test_what_is_not_known_is_empty() -> None:
    assert (percent(None), percent(0.0), percent(1.84)) == ("", "0.0 %", "1.8 %")


def test_columns_are_as_wide_as_their_widest_cell_and_nothing_is_cut() -> None:
    lines = columns(("A", "NAME"), [("x" * 300, "b"), ("y", "")])
    assert lines[0] == "A" + " " * 302 + "NAME"
    assert lines[1] == "x" * 300 + "   b"
    assert lines[2] == "y"
