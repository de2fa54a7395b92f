"""Following one request's grammar, token by token: what may come next, and whether anything may.

The next mask is computed in another thread, outside the interpreter's lock, while the model computes its logits.
Ambiguous grammars take longer and longer for one: they have a thread of their own, and what they may take is bounded.
Compiling is `grammar.py`'s.
"""

import time
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from genai_runtime.engine.batch.lane import Call, Lane, Overrun

_LONGEST_MESSAGE = 300
# What each byte of a mask of bits means for its eight ids.
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_BYTES = np.where(_BITS == 1, np.float32(0), np.float32(-np.inf))
_FAILED = "the output cannot follow the guidance any further"
# Of a processor, for one mask: ordinary grammars take a fiftieth of it.
_SLOW_SECONDS = 0.02


class GrammarFailed(Exception):
    """The request cannot go on with its grammar; `message` is for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Masking:
    """Where masks are computed. `seconds`: of a processor, for all masks of one request."""

    lane: Lane
    slow: Lane  # for those who had a slow one
    seconds: float


class GrammarMatcher:
    """One request's place in its grammar. Used by one thread."""

    def __init__(self, matcher: LLMatcher, masking: Masking, known: NDArray[np.bool_], first: bytes) -> None:
        """`first` is the matcher's mask of the start; `known` says which ids of the vocabulary the tokenizer has."""
        self._matcher = matcher
        self._masking = masking
        self._lane = masking.lane
        self._seconds = 0.0
        self._vocabulary_size = len(known)
        self._known = np.packbits(known, bitorder="little")
        self._mask = first
        self._next: Call[tuple[bytes, float]] | None = None
        self._failure = ""
        self.complete = False  # satisfied, and nothing more may follow

    def accept(self, token: int) -> None:
        """Take a token of the output; it was allowed, or `mask` fails from now on."""
        self._settle()
        if not self._failure and self._matcher.consume_token(token):
            self.complete = self._matcher.is_stopped()
            self._next = self._lane.submit(lambda: _timed(self._matcher))

    @property
    def ready(self) -> bool:
        """Whether `mask` would return or raise at once."""
        return self._next is None or self._lane.done(self._next)

    def mask(self) -> NDArray[np.float32]:
        """What to add to the logits, of shape (vocabulary,): 0 for ids that may come next, one at least; else minus
        infinity. End-of-sequence tokens may come exactly when the output so far is complete. Raises `GrammarFailed`.
        """
        self._settle()
        if self._failure or self._matcher.is_error():
            raise GrammarFailed(f"{_FAILED}: {self._failure or words(self._matcher.get_error())}")
        allowed = np.frombuffer(self._mask, np.uint8)[: len(self._known)] & self._known
        if not allowed.any():
            raise GrammarFailed(f"{_FAILED}: no token of the model fits")
        return _BYTES.take(allowed, axis=0).ravel()[: self._vocabulary_size]

    def _settle(self) -> None:
        """Wait for the mask that is being computed. A failed matcher is left alone: a thread may still be in it."""
        call, self._next = self._next, None
        if call is None:
            return
        try:
            self._mask, seconds = self._lane.result(call)
        except Overrun as overrun:
            self._failure = f"the next token was not found in time, {overrun}"
        except BaseException as error:  # a panic is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            self._failure = words(str(error))
        else:
            self._count(seconds)

    def _count(self, seconds: float) -> None:
        self._seconds += seconds
        if seconds > _SLOW_SECONDS:
            self._lane = self._masking.slow
        if self._seconds > self._masking.seconds:
            self._failure = (
                f"its masks took more than {self._masking.seconds:g} seconds of a processor; make the grammar less "
                "ambiguous"
            )


def _timed(matcher: LLMatcher) -> tuple[bytes, float]:
    """The mask, and the seconds of this thread's processor time that it took: others' load does not count."""
    began = time.thread_time()
    return matcher.compute_bitmask(), time.thread_time() - began


def words(error: str) -> str:
    """llguidance's message without its internal state and without most of the source, on one line."""
    text = " ".join(error.replace("<non-verbose/>", "").split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
