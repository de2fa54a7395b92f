"""The pages of docs/recipes as programs: the commands that they tell, and whether what they show is what is seen.

A block of `sh` is run, `sh exits 1` must end with that code, and the block of `text` that follows it is what is seen.
Running them is `terminal.py`'s work.

Of what is shown, only what another run changes is compared by its shape:

- a line `…` is any number of lines, and `…` in a line any text;
- numbers, times, durations, and names that Kubernetes and the server make up; but zero is zero and no other number is;
- exactly compared are numbers that the commands gave, those of `1/2` and `1 of 2`, and those that belong to a word;
- one space is any number of spaces, and empty lines count for nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_FENCE = re.compile(r"^```(.*)$")
_COMMANDS = re.compile(r"sh(?: exits (\d+))?")
ANYTHING = "…"

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"  # Kubernetes makes up names of these
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e-?\d+)?"
_GIVEN = re.compile(r"\d+(?:\.\d+)?[A-Za-z%]*")
_SHAPES = re.compile(
    "|".join(
        (
            f"(?P<anything>{ANYTHING})",
            r"(?P<space>\s+)",
            r"(?P<count>(?<![\w.])\d+(?:/| of )\d+(?![\w.]))",
            f"(?P<pod>-{_RANDOM}{{6,10}}-{_RANDOM}{{5}}(?![a-z0-9]))",
            r"(?P<stamp>\d{8}T\d{6}Z-\d+)",
            r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)",
            r"(?P<hex>\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,}\b)",
            r"(?P<duration>(?<![\w.])(?:\d+[smhd])+(?![\w.]))",
            r"(?P<number>(?<![A-Za-z_\d.])(?:(?<![\w%)])[-+])?\d+(?:\.\d+)?(?:e-?\d+)?)",
        )
    )
)
_LIKE = {
    "anything": ".*",
    "space": r"\s+",
    "pod": f"-{_RANDOM}{{6,10}}-{_RANDOM}{{5}}",
    "stamp": r"\d{8}T\d{6}Z-\d+",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "hex": "[0-9a-f]{12,}",
    "duration": r"(?:\d+[smhd])+",
}
_ZERO = r"[-+]?0(?:\.0+)?(?![\d.])"


@dataclass(frozen=True, slots=True)
class Step:
    """One block of commands; `line` is where it begins in the page, `shown` what is seen, None if nothing is said."""

    line: int
    commands: str
    code: int = 0
    shown: str | None = None


def steps(page: str) -> list[Step]:
    """The blocks of commands of a page, in its order.

    Raises:
        ValueError: a block is not closed, or output is shown that no command comes before.
    """
    found: list[Step] = []
    for line, language, text in _blocks(page):
        commands = _COMMANDS.fullmatch(language)
        if commands:
            found.append(Step(line, text, int(commands[1] or 0)))
        elif language == "text":
            if not found or found[-1].shown is not None:
                raise ValueError(f"line {line}: what is seen follows on no commands")
            found[-1] = replace(found[-1], shown=text)
        elif language.split() and language.split()[0] == "sh":
            raise ValueError(f"line {line}: {language!r} is neither sh nor sh exits CODE")
    return found


def mismatch(shown: str, seen: str, commands: str = "") -> str:
    """Why `seen` is not what a page shows of these commands; empty if it is."""
    given = frozenset(_GIVEN.findall(commands))
    lines = [line.rstrip() for line in seen.splitlines() if line.strip()]
    reached = {0}  # so many lines of `seen` may be what was shown up to here
    for number, line in enumerate(shown.splitlines(), 1):
        if not line.strip():
            continue
        if line.strip() == ANYTHING:
            reached = set(range(min(reached), len(lines) + 1))
            continue
        pattern = line_pattern(line, given)
        after = {at + 1 for at in reached if at < len(lines) and pattern.fullmatch(lines[at])}
        if not after:
            return f"line {number} of what is shown, {line!r}, is not seen after line {min(reached)} of:\n{seen}"
        reached = after
    return "" if len(lines) in reached else f"more is seen than shown, from line {max(reached) + 1} on, of:\n{seen}"


def line_pattern(line: str, given: frozenset[str] = frozenset()) -> re.Pattern[str]:
    """What lines a shown line stands for; `given` are the numbers, with their units, that the commands have."""
    parts: list[str] = []
    at = 0
    for found in _SHAPES.finditer(line.rstrip()):
        parts += [re.escape(line[at : found.start()]), _like(found, line, given)]
        at = found.end()
    return re.compile("".join(parts) + re.escape(line.rstrip()[at:]))


def _like(found: re.Match[str], line: str, given: frozenset[str]) -> str:
    kind, text = str(found.lastgroup), found[0]
    whole = _GIVEN.match(line, found.start())
    if kind == "count" or (kind in ("number", "duration") and whole and whole[0] in given):
        return re.escape(text)
    if kind != "number":
        return _LIKE[kind]
    return _ZERO if float(text) == 0 else f"(?!{_ZERO}){_NUMBER}"


def _blocks(page: str) -> Iterator[tuple[int, str, str]]:
    """(line, language, text) of each fenced block."""
    opened = 0
    language = ""
    inside: list[str] = []
    for number, line in enumerate(page.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not opened:
            opened, language, inside = number, fence[1].strip(), []
        elif line.rstrip() == "```":
            yield opened, language, "".join(f"{each}\n" for each in inside)
            opened = 0
        elif opened:
            inside.append(line)
    if opened:
        raise ValueError(f"line {opened}: the block is not closed")
