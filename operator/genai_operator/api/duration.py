"""Durations as users write them, `80ms`, `30s`, `1m30s`: reading them, and the rule that the API server checks.

Go's form, which CEL's `duration` reads as well. No field's meaning.
"""

import re
from collections.abc import Callable
from decimal import Decimal

MAX_LENGTH = 24
_NUMBER = "[0-9]{1,6}([.][0-9]{1,3})?"
# So short that CEL's duration, 64 bits of nanoseconds, holds every text of this form.
PATTERN = f"({_NUMBER}(ms|s|m|h)){{1,3}}"
# The same in whole seconds.
WHOLE_PATTERN = "([0-9]{1,6}(s|m|h)){1,3}"

_PART = re.compile(rf"({_NUMBER})(ms|s|m|h)")
_FACTORS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}


def parse_duration(text: str) -> Decimal:
    """Seconds.

    Raises:
        ValueError: the text is not a duration.
    """
    if len(text) > MAX_LENGTH or re.fullmatch(PATTERN, text) is None:
        raise ValueError("is not a duration such as 80ms, 30s or 1m30s")
    return sum((Decimal(part[1]) * _FACTORS[part[3]] for part in _PART.finditer(text)), Decimal(0))


def between(least: str, most: str) -> Callable[[str], str]:
    """A validator for durations in these bounds; it raises ValueError with `explanation`'s words."""
    low, high = parse_duration(least), parse_duration(most)

    def check(text: str) -> str:
        try:
            fits = low <= parse_duration(text) <= high
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(explanation(least, most))
        return text

    return check


def explanation(least: str, most: str) -> str:
    """What a duration in these bounds must be, in words."""
    return f"must be a duration from {least} to {most}, for example 80ms, 30s or 1m30s"


def between_rule(least: str, most: str, text: str = "self") -> str:
    """CEL: the expression `text`, which has the form of a duration, lies in these bounds."""
    return f"duration({text}) >= duration('{least}') && duration({text}) <= duration('{most}')"


def duration_rule(least: str, most: str) -> str:
    """CEL: the value is a duration in these bounds."""
    return f"self.matches('^{PATTERN}$') && {between_rule(least, most)}"
