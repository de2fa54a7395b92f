"""What a benchmark's requests measured, in numbers. Pure; sending them is `commands.bench`'s work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished request, in seconds as its reader saw them since it was sent. `seen`: each event with text.

    An event may carry several tokens: those that came at almost the same time are sent together.
    """

    pod: str
    tokens: int
    seen: tuple[float, ...]

    @property
    def first_token(self) -> float:
        return self.seen[0]

    @property
    def inter_token(self) -> float | None:
        """Mean from one token to the next."""
        return (self.seen[-1] - self.seen[0]) / (self.tokens - 1) if self.tokens > 1 else None

    @property
    def longest_pause(self) -> float | None:
        """In which nothing came."""
        return max((after - before for before, after in pairwise(self.seen)), default=None)


@dataclass(frozen=True, slots=True)
class Summary:
    """Over all requests; times in milliseconds, None where nothing was measured."""

    seconds: float
    streams: int
    requests: int
    failed: int
    tokens: int
    tokens_per_second: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    inter_token_p50_ms: float | None
    inter_token_p99_ms: float | None
    longest_pause_p99_ms: float | None
    pods: dict[str, int] = field(default_factory=dict)


def summarise(measured: Sequence[Measured], failed: int, streams: int, seconds: float) -> Summary:
    """`seconds`: from the first request to the end of the last."""
    first = [each.first_token for each in measured]
    between = [value for each in measured if (value := each.inter_token) is not None]
    pauses = [value for each in measured if (value := each.longest_pause) is not None]
    tokens = sum(each.tokens for each in measured)
    pods: dict[str, int] = {}
    for each in measured:
        pods[each.pod] = pods.get(each.pod, 0) + 1
    return Summary(
        seconds=round(seconds, 3),
        streams=streams,
        requests=len(measured),
        failed=failed,
        tokens=tokens,
        tokens_per_second=round(tokens / seconds, 1) if seconds > 0 else 0.0,
        ttft_p50_ms=_milliseconds(first, 0.5),
        ttft_p99_ms=_milliseconds(first, 0.99),
        inter_token_p50_ms=_milliseconds(between, 0.5),
        inter_token_p99_ms=_milliseconds(between, 0.99),
        longest_pause_p99_ms=_milliseconds(pauses, 0.99),
        pods=dict(sorted(pods.items())),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed. `values` must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _milliseconds(values: Sequence[float], share: float) -> float | None:
    return round(quantile(values, share) * 1000, 2) if values else None
