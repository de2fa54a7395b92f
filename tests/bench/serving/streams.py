"""What a client saw of an answer, and what is computed from many of them. Times are seconds on one process's clock.

No clients and no servers here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any


@dataclass
class Stream:
    """One answer: when it was asked for, and (when, how many tokens) for each message."""

    sent: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    @property
    def first(self) -> float:
        return self.arrivals[0][0]

    @property
    def last(self) -> float:
        return self.arrivals[-1][0]

    @property
    def tokens(self) -> int:
        return sum(count for _, count in self.arrivals)

    @property
    def first_token_seconds(self) -> float:
        return self.first - self.sent

    def longest_gap(self, start: float, end: float) -> float:
        """The longest time without a message that touches [start, end]."""
        times = [at for at, _ in self.arrivals]
        gaps = [later - earlier for earlier, later in pairwise(times) if later >= start and earlier <= end]
        return max(gaps, default=0.0)


def whole_rate(streams: Sequence[Stream]) -> float:
    """Tokens per second from the first request to the last token, prefill included."""
    began, ended = min(each.sent for each in streams), max(each.last for each in streams)
    return sum(each.tokens for each in streams) / (ended - began)


def decode_rate(streams: Sequence[Stream]) -> float:
    """Tokens per second while every one of the streams decodes: from the last first token to the first last one."""
    began, ended = max(each.first for each in streams), min(each.last for each in streams)
    tokens = sum(count for each in streams for at, count in each.arrivals if began < at <= ended)
    return tokens / (ended - began) if ended > began else 0.0


def first_token_ms(streams: Sequence[Stream]) -> float:
    """The median time to the first token, milliseconds."""
    return median(each.first_token_seconds for each in streams) * 1000


def gap_ms(streams: Sequence[Stream]) -> float:
    """The longest time between two messages of any stream, milliseconds."""
    return max(each.longest_gap(each.first, each.last) for each in streams) * 1000


def summary(streams: Sequence[Stream]) -> dict[str, float]:
    """The figures of a load for the report."""
    return {
        "tokens_per_second": whole_rate(streams),
        "first_token_p50_ms": first_token_ms(streams),
        "longest_gap_ms": gap_ms(streams),
    }


def to_json(streams: Sequence[Stream]) -> list[dict[str, Any]]:
    return [{"sent": each.sent, "arrivals": each.arrivals} for each in streams]


def from_json(found: Sequence[dict[str, Any]]) -> list[Stream]:
    return [Stream(each["sent"], [(at, count) for at, count in each["arrivals"]]) for each in found]
