"""Bars, stacked bars and dots over two axes, as HTML and SVG that follow the page's width. No text of the user's is
trusted: callers give labels that are escaped already.

Dots are lines of no length with round ends that do not scale, so a chart may be stretched to any size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from genai_traces.quantiles import Point, every, medians, quantile, ticks
from genai_traces.wording import count, duration, plural

_WIDTH, _HEIGHT = 1000, 400  # of the drawing, in its own units
_MOST_DOTS = 3000
_LINE_RANGES = 40
_FAR_OUT = 2.5  # times the 99th percentile: from there on a dot is drawn at the edge


@dataclass(frozen=True, slots=True)
class Bar:
    """`share` (0 to 1) is of the longest bar; `colour` a class of the page."""

    label: str
    detail: str
    value: str
    share: float
    colour: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a stacked bar."""

    label: str
    value: str
    share: float
    colour: str


def bars(rows: Sequence[Bar]) -> str:
    """One bar a row, label before and value behind it."""
    return '<ol class="bars">' + "".join(_bar(row) for row in rows) + "</ol>"


def stacked(parts: Sequence[Part], name: str) -> str:
    """One bar of parts, and a legend that says what each is."""
    drawn = "".join(
        f'<span class="{part.colour}" style="flex-grow:{part.share:.5f}" title="{part.label}: {part.value}"></span>'
        for part in parts
        if part.share > 0
    )
    legend = "".join(f'<li><i class="swatch {part.colour}"></i>{part.label} <b>{part.value}</b></li>' for part in parts)
    return (
        f'<figure class="stack"><div class="track" role="img" aria-label="{name}">{drawn}</div>'
        f'<figcaption><ul class="legend">{legend}</ul></figcaption></figure>'
    )


def scatter(points: Sequence[Point], x_name: str, colour: str, what: str) -> str:
    """Dots (x, microseconds), and the line of medians where there are many. `what` the dots are, in the singular."""
    times = [y for _, y in points]
    top = min(max(times), _FAR_OUT * quantile(times, 0.99))
    size, unit = (1000.0, "ms") if top >= 1000 else (1.0, "µs")
    y_ticks, x_ticks = ticks(top / size), ticks(max(x for x, _ in points))
    widest, highest = x_ticks[-1], y_ticks[-1] * size
    few = len(points) < _LINE_RANGES
    shown = every(points, _MOST_DOTS)
    drawn = _grid(y_ticks) + _dots(shown, widest, highest)
    legend = f'<li><i class="swatch dot"></i>{what}</li>'
    if not few:
        drawn += _line(medians(points, _LINE_RANGES), widest, highest)
        legend += '<li><i class="swatch line"></i>median</li>'
    data = json.dumps({"x": x_name, "w": widest, "h": highest, "p": [[round(x), round(y)] for x, y in shown]})
    return (
        f'<figure class="plot {colour}{" few" if few else ""}"><div class="y-name">run time in {unit}</div>'
        f'<div class="area">{_labels("y", y_ticks)}'
        f'<div class="frame" role="img" aria-label="{what}s: run time over {x_name}">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
        f'<div class="tip" hidden></div></div>{_labels("x", x_ticks)}</div><div class="x-name">{x_name}</div>'
        f'<figcaption><ul class="legend">{legend}</ul>{_left_out(points, len(shown), highest, what)}</figcaption>'
        f'<script type="application/json">{data}</script></figure>'
    )


def _grid(y_ticks: Sequence[float]) -> str:
    heights = (_HEIGHT * (1 - each / y_ticks[-1]) for each in y_ticks)
    return "".join(f'<path class="grid" d="M0 {_n(height)}H{_WIDTH}"/>' for height in heights)


def _dots(points: Sequence[Point], widest: float, highest: float) -> str:
    path = "".join(f"M{place}h0" for place in _places(points, widest, highest))
    return f'<path class="dots" d="{path}"/>'


def _line(points: Sequence[Point], widest: float, highest: float) -> str:
    return f'<path class="median" d="M{"L".join(_places(points, widest, highest))}"/>'


def _places(points: Sequence[Point], widest: float, highest: float) -> list[str]:
    """Coordinates in the drawing; what is too high lies on its upper edge."""
    return [f"{_n(_WIDTH * x / widest)} {_n(_HEIGHT * (1 - min(y, highest) / highest))}" for x, y in points]


def _bar(row: Bar) -> str:
    note = f'<span class="note">{row.note}</span>' if row.note else ""
    return (
        f'<li><span class="what"><b>{row.label}</b><small>{row.detail}</small></span>'
        f'<span class="track"><span class="{row.colour}" style="width:{100 * row.share:.2f}%"></span></span>'
        f'<span class="value">{row.value}{note}</span></li>'
    )


def _labels(axis: str, places: Sequence[float]) -> str:
    side = "bottom" if axis == "y" else "left"
    decimals = next((each for each in range(9) if all(round(place, each) == place for place in places)), 9)
    spans = "".join(
        f'<span style="{side}:{100 * place / places[-1]:.2f}%">{place:,.{decimals}f}</span>' for place in places
    )
    return f'<div class="{axis}-axis">{spans}</div>'


def _left_out(points: Sequence[Point], shown: int, highest: float, what: str) -> str:
    """What the chart does not show as it is."""
    above = [y for _, y in points if y > highest]
    sentences = []
    if above:
        longest = f"the longest took {duration(max(above))}"
        sentences.append(f"{plural(len(above), what)} above the axis drawn at its edge; {longest}.")
    if shown < len(points):
        sentences.append(f"{count(shown)} of {count(len(points))} dots are drawn, evenly taken; the line is of all.")
    return f"<p>{' '.join(sentences)}</p>" if sentences else ""


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")
