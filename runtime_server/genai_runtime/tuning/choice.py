"""Pure: what measurements mean. Everything is compared within a round, where the machine was about the same for all.

A machine's speed drifts by more than most settings change; so a candidate counts by its ratio to the present one in the
same round, and a gain below the margin is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median

from genai_runtime.tuning.plan import Candidate

MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Figure:
    """What so many clients saw."""

    clients: int
    tokens_per_second: float
    first_token_ms: float  # the median


@dataclass(frozen=True, slots=True)
class Gain:
    """Two candidates side by side under the same load: medians over the rounds. `percent` is of tokens per second."""

    clients: int
    best: Figure
    present: Figure
    percent: float


Figures = tuple[Figure, ...]  # one for each number of clients


def ratio(figures: Figures, present: Figures) -> float:
    """How much faster the first are, over all numbers of clients alike; 1 is the same speed."""
    ratios = [
        each.tokens_per_second / other.tokens_per_second
        for each, other in zip(figures, present, strict=True)
        if each.tokens_per_second > 0 and other.tokens_per_second > 0
    ]
    return geometric_mean(ratios) if ratios else 0.0


Round = Mapping[Candidate, Figures]


def winner(rounds: Sequence[Round], best: Candidate) -> Candidate:
    """The fastest by the median over the rounds, if it beats `best` by the margin.

    A candidate that failed is missing in a round, and does not win; a round without `best` counts for nothing.
    """
    whole = [each for each in rounds if best in each]
    scores = {
        candidate: median(ratio(each[candidate], each[best]) for each in whole)
        for candidate in (whole[0] if whole else ())
        if all(candidate in each for each in whole)
    }
    fastest = max(scores, key=lambda each: scores[each], default=best)
    return fastest if scores.get(fastest, 0.0) > 1 + MARGIN else best


def beside(rounds: Sequence[Round], other: Candidate) -> dict[Candidate, list[Gain]]:
    """Each candidate that ran in every round, `other` among them, against `other`; empty where that one did not."""
    if not rounds or any(other not in each for each in rounds):
        return {}
    base = [each[other] for each in rounds]
    whole = [candidate for candidate in rounds[0] if all(candidate in each for each in rounds)]
    return {candidate: gains([each[candidate] for each in rounds], base) for candidate in whole}


def gains(best: Sequence[Figures], present: Sequence[Figures]) -> list[Gain]:
    """For each number of clients; the two sequences have one entry a round."""
    found = []
    for index, first in enumerate(present[0]):
        ours, others = [each[index] for each in best], [each[index] for each in present]
        ratios = [
            mine.tokens_per_second / other.tokens_per_second
            for mine, other in zip(ours, others, strict=True)
            if other.tokens_per_second > 0
        ]
        percent = (median(ratios) - 1) * 100 if ratios else 0.0
        found.append(Gain(first.clients, typical(ours), typical(others), percent))
    return found


def holds(found: Sequence[Gain]) -> bool:
    """Whether the gain is real: beyond the margin over all loads together."""
    factors = [1 + each.percent / 100 for each in found if each.percent > -100]
    return bool(factors) and geometric_mean(factors) > 1 + MARGIN


def typical(figures: Sequence[Figure]) -> Figure:
    """The median of each figure."""
    rate = median(each.tokens_per_second for each in figures)
    return Figure(figures[0].clients, rate, median(each.first_token_ms for each in figures))
