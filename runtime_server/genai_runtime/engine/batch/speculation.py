"""Guesses at what comes next, from what came before: after the same few tokens, the same tokens as the last time.

Pure. A guess costs a little when it is wrong and saves runs when it is right, as where text repeats its prompt. The
model decides: a guessed token is only kept where the sampler chose the same one. A request whose guesses cost more than
they save has fewer and fewer of them.
"""

from collections.abc import Iterable

NGRAM = 3
FEWEST, MOST = 2, 8
_PAUSE = 8  # tokens without guesses after a guess that was wrong from its beginning
# What one guessed token costs, in runs: of four-bit weights on a CPU, as measured; floats cost a third of it.
_COST = 0.4
# Runs that a request's guesses may lose before they rest, twice as long each time that one more try is in vain.
_CREDIT, _MOST_CREDIT = 2.0, 8.0
_LONGEST_REST = 512


class NgramDrafts:
    """The guesses for one request."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # n-gram: where what followed it begins, the last time
        self._length = FEWEST * 2
        self._pause = 0
        self._credit, self._rest = _CREDIT, _PAUSE
        for token in tokens:
            self.extend(token)

    def extend(self, token: int) -> None:
        """A token that is certain. An n-gram is entered when its follower is known, so that it never finds itself."""
        count = len(self._tokens)
        if count >= NGRAM:
            self._after[tuple(self._tokens[-NGRAM:])] = count
        self._tokens.append(token)
        self._pause = max(0, self._pause - 1)

    def propose(self, most: int) -> list[int]:
        """At most `most` tokens that may come next; empty when there is nothing to go by."""
        if self._pause:
            return []
        start = self._after.get(tuple(self._tokens[-NGRAM:]))
        if start is None or most < FEWEST:
            return []
        period = len(self._tokens) - start  # what is known to follow may be shorter than the guess: it then goes round
        return [self._tokens[start + number % period] for number in range(min(most, self._length))]

    def judge(self, proposed: int, kept: int) -> None:
        """Of `proposed` tokens so many were kept: guess more, or less, or not for a while."""
        if kept == proposed:
            self._length = min(MOST, self._length * 2)
        elif not kept:
            self._length = FEWEST
            self._pause = _PAUSE
        self._credit = min(_MOST_CREDIT, self._credit + kept - _COST * proposed)
        if self._credit >= _CREDIT:
            self._rest = _PAUSE
        elif self._credit <= 0:
            self._credit, self._length = _COST * FEWEST, FEWEST  # one try
            self._pause = self._rest = min(_LONGEST_REST, 2 * self._rest)
