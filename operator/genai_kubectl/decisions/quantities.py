"""Durations, ages and sizes: reading what users write, writing what users read. Nothing about objects."""

import re
from datetime import datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_AGES = ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def parse_duration(text: str) -> float:
    """Seconds of "90", "30s", "1m30s", "250ms" or "1.5h".

    Raises:
        ValueError: it is no duration; the message is a sentence for the user.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no duration; write for example 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def duration(seconds: float) -> str:
    """For example "12 ms", "4.2 s", "3m20s", "2h5m"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    return f"{whole // 3600}h{whole % 3600 // 60}m"


def age(since: str, now: datetime) -> str:
    """How long ago an RFC 3339 time was, as kubectl writes it; "<unknown>" for an empty one."""
    if not since:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for size, unit in _AGES:
        if seconds >= 2 * size or (unit in "ys" and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def size(count: float) -> str:
    """Bytes, for example "512 B", "9.1 KiB", "64.0 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def percent(value: float | None) -> str:
    """For example "1.8 %"; empty where it cannot be said."""
    return "" if value is None else f"{value:.1f} %"
