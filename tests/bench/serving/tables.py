"""What a run shows on the terminal besides its checks: medians of the rounds, and the ratios between them."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.serving.arena import ENGINE, GENERATOR, LLAMA, OURS, OURS_128, OURS_HTTP
from bench.serving.verdicts import Row, ratio, typical

_SPEED, _DECODE, _FIRST = "tokens_per_second", "decode_tokens_per_second", "first_token_p50_ms"
_CONTESTANTS = (OURS, OURS_HTTP, OURS_128, LLAMA, ENGINE, GENERATOR)


def show(console: Console, rows: Sequence[Row], perplexities: Mapping[str, Any]) -> None:
    """One table a section that was measured."""
    _show(console, rows, "closed", "n", _SPEED, "end to end, tokens/s", LLAMA)
    _show(console, rows, "closed", "n", _FIRST, "closed loop, time to first token, ms", LLAMA)
    _show(console, rows, "closed", "n", "front_us_per_token", "CPU of the front process a token over gRPC, µs", "")
    _show(console, rows, "decode", "n", _DECODE, "decoding alone, tokens/s", GENERATOR)
    _show(console, rows, "long", "n", _SPEED, "1000-token prompts, end to end, tokens/s", LLAMA)
    _show(console, rows, "long", "n", _DECODE, "at 1000 tokens of context, decoding alone, tokens/s", GENERATOR)
    _show(console, rows, "poisson", "rate", _SPEED, "requests/s by chance: tokens/s", ENGINE)
    _show(console, rows, "poisson", "rate", _FIRST, "requests/s by chance: time to first token, ms", ENGINE)
    _show(console, rows, "poisson", "rate", "longest_gap_ms", "requests/s by chance: longest gap, ms", ENGINE)
    _show_freed(console, rows)
    _show_perplexities(console, perplexities)


def _show(console: Console, rows: Sequence[Row], section: str, by: str, figure: str, title: str, other: str) -> None:
    values = sorted({row[by] for row in rows if row["section"] == section})
    if not values:
        return
    table = Table("", *(f"{by}={value:g}" for value in values), title=title)
    for name in _CONTESTANTS:
        cells = [typical(rows, section, figure, contestant=name, **{by: value}) for value in values]
        if any(cells):
            table.add_row(name, *(_number(cell, "{:.0f}") for cell in cells))
    for name in (OURS, OURS_HTTP, OURS_128) if other else ():
        cells = [ratio(rows, section, figure, name, other, **{by: value}) for value in values]
        if any(cells):
            table.add_row(f"{name} / {other}", *(_number(cell, "{:.2f}") for cell in cells), style="bold")
    console.print(table)


def _show_freed(console: Console, rows: Sequence[Row]) -> None:
    cases = dict.fromkeys((row["ending"], row["state"]) for row in rows if row["section"] == "freed")
    if not cases:
        return
    table = Table("ended by", "in", "ms", title="from the end of a request to the first token of the next in its row")
    for ending, state in cases:
        value = typical(rows, "freed", "freed_ms", ending=ending, state=state)
        table.add_row(ending, state, _number(value, "{:.1f}"))
    console.print(table)


def _show_perplexities(console: Console, found: Mapping[str, Any]) -> None:
    tokens = found["text_tokens"]
    title = f"perplexity on {tokens} tokens drawn from the float model"
    table = Table("", "of the rounded weights", "as ONNX Runtime computes it", "above float", title=title)
    least = found["float32"]["weights"]
    for name, each in found.items():
        if isinstance(each, Mapping):
            served = _number(each.get("onnxruntime"), "{:.1f}")
            table.add_row(name, f"{each['weights']:.1f}", served, f"{each['weights'] / least - 1:.0%}")
    console.print(table)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
