"""Medians, quantiles and what a chart needs of numbers. Pure."""

import math
from collections.abc import Sequence

Point = tuple[float, float]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank); 0 for none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def medians(points: Sequence[Point], most: int) -> list[Point]:
    """The median y of at most `most` equally wide ranges of x, at their mean x; empty ranges are left out."""
    if not points:
        return []
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    width = (last - first) / most or 1.0
    ranges: dict[int, list[Point]] = {}
    for point in points:
        ranges.setdefault(min(int((point[0] - first) / width), most - 1), []).append(point)
    return [
        (sum(x for x, _ in ranges[each]) / len(ranges[each]), quantile([y for _, y in ranges[each]], 0.5))
        for each in sorted(ranges)
    ]


def ticks(largest: float, most: int = 5) -> list[float]:
    """Round numbers from 0 up to `largest` or just past it, at most `most` steps apart."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    return [round(step * each, 12) for each in range(math.ceil(largest / step * 0.999) + 1)]


def every(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of them, evenly taken; all if they are fewer."""
    if len(points) <= most:
        return list(points)
    return [points[each * len(points) // most] for each in range(most)]
