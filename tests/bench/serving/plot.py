"""The picture of a run for the docs: tokens per second and time to first token, against N and against load."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from bench.serving.arena import ENGINE, LLAMA, OURS, OURS_128, OURS_HTTP
from bench.serving.verdicts import Row, typical

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_STYLES = {
    OURS: ("#1b6ca8", "o", "-", "ours, gRPC"),
    OURS_HTTP: ("#58a5d8", "s", "--", "ours, OpenAI HTTP"),
    OURS_128: ("#0b3c5d", "D", "-", "ours, gRPC, block 128"),
    LLAMA: ("#d1495b", "v", "-", "llama-server, Q4_0"),
    ENGINE: ("#8d8741", "^", ":", "raw og.Engine"),
}
_PANELS = (
    ("closed", "n", "tokens_per_second", "clients in a closed loop", "tokens/s"),
    ("closed", "n", "first_token_p50_ms", "clients in a closed loop", "time to first token, p50, ms"),
    ("poisson", "rate", "tokens_per_second", "requests per second (Poisson)", "tokens/s"),
    ("poisson", "rate", "first_token_p50_ms", "requests per second (Poisson)", "time to first token, p50, ms"),
)


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """Writes the PNG; panels of what was not measured stay empty."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    for axis, panel in zip(axes.flat, _PANELS, strict=True):
        _panel(axis, rows, *panel)
    handles, labels = axes[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axis: Axes, rows: Sequence[Row], section: str, by: str, figure: str, across: str, up: str) -> None:
    values = sorted({row[by] for row in rows if row["section"] == section})
    for name, (colour, marker, line, label) in _STYLES.items():
        points = [(value, typical(rows, section, figure, contestant=name, **{by: value})) for value in values]
        known = [(value, found) for value, found in points if found is not None]
        if known:
            axis.plot(*zip(*known, strict=True), color=colour, marker=marker, linestyle=line, label=label)
    if by == "n":
        axis.set_xscale("log", base=2)
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.set_ylim(bottom=0)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
