"""How the report writes numbers, times and other people's text. HTML comes from here escaped."""

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ((1_000_000, "s"), (1_000, "ms"), (1, "µs"))
_PROVIDER = "ExecutionProvider"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def escape(text: str) -> str:
    """Text as HTML, also within attributes; what UTF-8 or a page cannot hold is shown as a box."""
    shown = "".join(character if character.isprintable() or character == " " else "\ufffd" for character in text)
    return html.escape(shown.encode("utf-8", "replace").decode())


def breakable(name: str) -> str:
    """A name in CamelCase as HTML that may be broken between its words."""
    return "<wbr>".join(escape(word) for word in _WORD.split(name))


def duration(microseconds: float) -> str:
    """Three digits and the unit that fits: 812 µs, 4.21 ms, 1.30 s."""
    size, unit = next((each for each in _UNITS if microseconds >= each[0]), _UNITS[-1])
    return f"{digits(microseconds / size)} {unit}"


def digits(value: float) -> str:
    """Three significant digits, without an exponent: 0.42, 4.21, 42.1, 421, 4,210."""
    if value == 0:
        return "0"
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}"


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """A share from 0 to 1: 63 %, 4.2 %, 99.6 %, < 0.1 %."""
    value = 100 * share
    if 0 < value < 0.1:
        return "< 0.1 %"
    whole = value == 0 or 10 <= value <= 99 or value >= 99.95
    return f"{value:.0f} %" if whole else f"{value:.1f} %"


def plural(number: int, one: str, several: str = "") -> str:
    """1 run, 2 runs."""
    return f"{count(number)} {one if number == 1 else several or one + 's'}"


def clock(microseconds: float) -> str:
    """A moment in UTC, to the second."""
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC" if microseconds else "never"


def provider_name(provider: str) -> str:
    """CUDAExecutionProvider is CUDA; "" is a device's own kernels."""
    return provider.removesuffix(_PROVIDER) or "device kernels"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Pods' names without the beginning that all share, up to a dash: their last parts tell them apart."""
    parts = [name.split("-") for name in names]
    same = 0
    while len(names) > 1 and all(len(each) > same + 1 and each[same] == parts[0][same] for each in parts):
        same += 1
    return {name: "-".join(each[same:]) for name, each in zip(names, parts, strict=True)}
