"""From rows to checks: ratios of two contestants within one round, then the median over the rounds.

The machine's speed drifts by more than what is compared; within a round it is about the same for all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.serving.arena import ENGINE, GENERATOR, LLAMA, OURS, OURS_128, OURS_HTTP
from support.bench import Check

Row = Mapping[str, Any]
_WHOLE, _DECODE, _FIRST = "tokens_per_second", "decode_tokens_per_second", "first_token_p50_ms"
# check's name, then of whom against whom, in which section, by which figure, and the goals by N
_THROUGHPUT = (
    ("grpc_vs_generator", OURS, GENERATOR, "decode", _DECODE, {1: 0.93, 4: 0.90, 8: 0.90, 16: 0.90}),
    ("grpc_vs_llama", OURS, LLAMA, "closed", _WHOLE, {1: 1.0, 4: 1.2, 8: 1.2, 16: 1.0}),
    ("grpc_vs_llama_b128", OURS_128, LLAMA, "closed", _WHOLE, {1: 1.3, 2: 1.3, 4: 1.3, 8: 1.3, 16: 1.3}),
    ("http_vs_llama", OURS_HTTP, LLAMA, "closed", _WHOLE, {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}),
)
_CANCEL_MS = 50.0  # beyond one run


def checks(rows: Sequence[Row]) -> list[Check]:
    """Every check of the project's goals for serving; without a value where its section was not measured."""
    found = []
    for name, ours, other, section, figure, goals in _THROUGHPUT:
        for size, goal in goals.items():
            value = ratio(rows, section, figure, ours, other, n=size)
            found.append(Check(f"{name}_n{size}", value, goal, at_most=False))
    return [*found, *_front(rows), *_arrivals(rows), *_behaviour(rows), *_endings(rows)]


def ratio(rows: Sequence[Row], section: str, figure: str, ours: str, other: str, **where: Any) -> float | None:
    """The median over the rounds of (median of ours / median of the other); None if a round with both is missing."""
    by_round: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in _select(rows, section, **where):
        by_round[row["round"]][row["contestant"]].append(row[figure])
    ratios = [median(each[ours]) / median(each[other]) for each in by_round.values() if each[ours] and each[other]]
    return median(ratios) if ratios else None


def typical(rows: Sequence[Row], section: str, figure: str, **where: Any) -> float | None:
    """The median of a figure over all rows that have it."""
    found = [row[figure] for row in _select(rows, section, **where) if figure in row]
    return median(found) if found else None


def _select(rows: Sequence[Row], section: str, **where: Any) -> Iterable[Row]:
    wanted = {"section": section, **where}
    return (row for row in rows if all(row.get(key) == value for key, value in wanted.items()))


def _front(rows: Sequence[Row]) -> list[Check]:
    """All CPU time of a round's closed loops by all their tokens, then the median of the rounds."""
    by_round = defaultdict(list)
    for row in _select(rows, "closed", contestant=OURS):
        by_round[row["round"]].append((row["front_us_per_token"] * row["tokens"], row["tokens"]))
    means = [sum(cost for cost, _ in each) / sum(tokens for _, tokens in each) for each in by_round.values()]
    return [Check("front_us_per_token", median(means) if means else None, 60)]


def _arrivals(rows: Sequence[Row]) -> list[Check]:
    first = ratio(rows, "poisson", _FIRST, OURS, ENGINE, rate=6)
    speed = ratio(rows, "poisson", _WHOLE, OURS, ENGINE, rate=6)
    return [
        Check("poisson6_ttft_vs_engine", first, 0.7),
        Check("poisson6_tok_vs_engine", speed, 1.15, at_most=False),
    ]


def _behaviour(rows: Sequence[Row]) -> list[Check]:
    return [
        Check("join_gap_ms", typical(rows, "join", "gap_ms"), 65),
        Check("prefix_ttft_ratio", typical(rows, "prefix", "ratio"), 0.1),
        Check("health_p99_ms", typical(rows, "health", "p99_ms"), 20),
    ]


def _endings(rows: Sequence[Row]) -> list[Check]:
    """The slowest of the ways to end, and the shortest run: the strictest reading of "one run and 50 ms"."""
    cases = {(row["ending"], row["state"]) for row in _select(rows, "freed")}
    freed = [typical(rows, "freed", "freed_ms", ending=ending, state=state) for ending, state in cases]
    run = typical(rows, "freed", "run_ms") or 0.0
    slowest = max((each for each in freed if each is not None), default=None)
    codes = {code for row in _select(rows, "killed") for code in row["codes"]}
    ended = typical(rows, "killed", "ended_ms") if codes == {"UNAVAILABLE"} else None
    return [
        Check("engine_kill_end_ms", ended, 1000),
        Check("cancel_free_ms", slowest, round(_CANCEL_MS + run, 1)),
        Check("cancel_leaked_rows", typical(rows, "cancels", "leaked_rows"), 0),
        Check("cancel_leaked_streams", typical(rows, "cancels", "leaked_streams"), 0),
        Check("cancel_rss_growth_pct", typical(rows, "cancels", "rss_growth_pct"), 5),
    ]
