"""Finds the stop strings of one answer in its text, however the text is cut into pieces.

Characters only: which tokens they came from is `choices.py`'s business.
"""

from collections.abc import Sequence


class StopStrings:
    """Reads one text. What could still begin a stop string is held back; `found` is the one that was completed first.

    Of several that end at the same character the longest counts, so that the answer does not depend on the pieces.
    """

    __slots__ = ("_failures", "_firsts", "_stops", "_until", "found", "held")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = sorted(stops, key=len, reverse=True)
        self._failures = [_failures(stop) for stop in self._stops]
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._until = [0] * len(self._stops)  # characters of each stop string that the text now ends with
        self.held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """What may be given out now: not what is held back, nor the stop string and what follows it."""
        if not self.held and self._firsts.isdisjoint(text):
            return text
        for position, character in enumerate(text, 1):
            if (found := self._advance(character)) is not None:
                self.found = found
                given = self.held + text[:position]
                self.held = ""
                return given[: -len(found)]
        text = self.held + text
        held = max(self._until)
        self.held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """The rest, at the end of the text."""
        rest, self.held = self.held, ""
        return rest

    def _advance(self, character: str) -> str | None:
        """The stop string that `character` completes."""
        for index, stop in enumerate(self._stops):
            until = self._until[index]
            while until and stop[until] != character:
                until = self._failures[index][until - 1]
            if stop[until] == character:
                until += 1
            if until == len(stop):
                return stop
            self._until[index] = until
        return None


def _failures(stop: str) -> list[int]:
    """For each prefix of `stop`, the length of its longest proper suffix that is a prefix too (Knuth-Morris-Pratt)."""
    failures = [0] * len(stop)
    length = 0
    for index in range(1, len(stop)):
        while length and stop[length] != stop[index]:
            length = failures[length - 1]
        length += stop[length] == stop[index]
        failures[index] = length
    return failures
