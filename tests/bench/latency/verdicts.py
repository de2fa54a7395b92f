"""From rows to checks: ratios of the two sides within a round, the median over the rounds, the mean over the loads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import geometric_mean, median
from typing import Any

from support.bench import Check

Row = Mapping[str, Any]
GOAL_OF_DEFAULTS = 0.97
# What a practice must at least not cost; a window is there to look, and costs.
_GOALS = {"profiling": 0.3}
_NO_LOSS = 0.98
SIZES = (1, 8)
EVERY = (
    *("graph_optimization", "threads", "cuda_graphs", "io_binding"),
    *("memory_arena_pattern", "reduced_precision", "warm_up", "profiling", "speculation"),
)


def checks(rows: Sequence[Row]) -> list[Check]:
    """All of them; without a value where nothing was measured."""
    found = [
        Check(f"default_vs_best_n{size}", default_vs_best(rows, size), GOAL_OF_DEFAULTS, at_most=False)
        for size in SIZES
    ]
    for practice in EVERY:
        found.append(Check(f"gain_{practice}", gain(rows, practice), _GOALS.get(practice, _NO_LOSS), at_most=False))
    return found


def default_vs_best(rows: Sequence[Row], clients: int) -> float | None:
    """Tokens per second with the defaults, by those with the best settings that a sweep found; 1: they are the best.

    None where the sweep had no time for all settings: then the best is not known.
    """
    for row in rows:
        if row["section"] == "tuned" and row["clients"] == clients and not row["notMeasured"]:
            percents = [row["figures"][0]["gainPercent"], *row.get("nearest", {}).get("gainPercent", ())]
            return 1 / (1 + max(map(float, percents)) / 100)
    return None


def gain(rows: Sequence[Row], practice: str) -> float | None:
    """How many times as fast with the practice as without, over all loads alike; more is better, 1 is no difference."""
    pairs: dict[tuple[Any, ...], dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["section"] == practice:
            load = (row["clients"], row.get("context"))
            pairs[load][row["round"]][row["side"]] = _speed(row)
    ratios = [
        median(each["on"] / each["off"] for each in rounds.values() if len(each) == 2)
        for rounds in pairs.values()
        if any(len(each) == 2 for each in rounds.values())
    ]
    return geometric_mean(ratios) if ratios else None


def _speed(row: Row) -> float:
    """Tokens per second, else how often a first token would come in a second."""
    if "tokens_per_second" in row:
        return float(row["tokens_per_second"])
    return 1000 / float(row["first_token_ms"])
