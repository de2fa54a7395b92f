"""Which token comes next, for every row of a decode run. Greedy rows are one `argmax`; others take what they need.

What a row gets is a function of its own logits, request and token number: never of the other rows, of the row's place,
or of how often the request was put aside and resumed. When a request ends for another cause than its tokens, and what
is done with a token, is the engine's business.
"""

import hashlib
import math
import secrets
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai_runtime.engine.batch.distribution import draw
from genai_runtime.engine.batch.grammar_matcher import GrammarFailed, GrammarMatcher
from genai_runtime.engine.batch.logprobs import token_logprob
from genai_runtime.engine.batch.penalties import Penalties
from genai_runtime.generation import GenerationRequest, TokenLogprob

Logits = NDArray[np.float32]

_NOTHING_LEFT = "no token is left to choose: what may end the text is not allowed yet, and all else is excluded"
_OUT_OF_RANGE = "the penalties make a logit infinite; take a repetition_penalty nearer to 1"


class Choice(NamedTuple):
    """One row's next token. With `error` set there is none (-1) and the request has to end with that message."""

    token: int
    logprob: TokenLogprob | None = None
    error: str = ""


class RowSampler:
    """One request's state of sampling. Lives as long as the request, through preemption, and is used by one thread."""

    def __init__(
        self,
        request: GenerationRequest,
        vocabulary_size: int,
        eos_token_ids: Iterable[int],
        grammar: GrammarMatcher | None = None,
    ) -> None:
        """Raises `InvalidRequest` for a biased id outside the vocabulary."""
        self.request = request
        self.accepted = 0  # tokens of the output so far
        self._grammar = grammar
        self._penalties = Penalties(request.sampling, request.prompt, vocabulary_size)
        self._seed = secrets.randbits(64) if request.sampling.seed is None else request.sampling.seed % 2**64
        eos = frozenset(eos_token_ids)
        # A grammar ends with an end-of-sequence token, whatever the request makes of that token otherwise.
        self._ends = frozenset(request.stop_token_ids) | (frozenset() if request.ignore_eos and not grammar else eos)
        enders = frozenset(request.stop_token_ids) | eos
        self._enders = np.array(sorted(id_ for id_ in enders if 0 <= id_ < vocabulary_size), np.intp)
        self._greedy = request.sampling.temperature <= 0
        self._early = request.min_tokens > 0 and len(self._enders) > 0
        # Nothing will ever change what the greatest logit says
        edits = grammar is not None or self._early or self._penalties.possible
        self.plain = self._greedy and request.logprobs < 0 and not edits

    @property
    def complete(self) -> bool:
        """Whether the request's grammar allows nothing more: it ends with STOP."""
        return self._grammar is not None and self._grammar.complete

    @property
    def ready(self) -> bool:
        """Whether a token can be chosen without waiting for the request's grammar."""
        return self._grammar is None or self._grammar.ready

    def ends_with(self, token: int) -> bool:
        """Whether this token ends the request with STOP, and is not given out."""
        return token in self._ends

    def accept(self, token: int) -> None:
        """Go on to the next token number. Call it for every token given out, once, in order."""
        self.accepted += 1
        if self.plain:
            return
        self._penalties.accept(token)
        if self._grammar is not None:
            self._grammar.accept(token)

    def choose(self, logits: Logits, likeliest: int) -> Choice:
        """The next token from the model's logits, of shape (vocabulary,), which stay as they are.

        `likeliest` is the id of the greatest logit.
        """
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # infinities are looked at below
            try:
                edited = self._edited(logits)
            except GrammarFailed as failure:
                return Choice(-1, None, failure.message)
            return self._chosen(logits, edited, likeliest)

    def _chosen(self, logits: Logits, edited: Logits, likeliest: int) -> Choice:
        if edited is not logits:
            likeliest = int(edited.argmax())
            if not np.isfinite(edited[likeliest]):
                return Choice(-1, None, _NOTHING_LEFT if edited[likeliest] < 0 else _OUT_OF_RANGE)
        token = likeliest if self._greedy else draw(edited, self.request.sampling, self._uniforms())
        wanted = self.request.logprobs
        return Choice(token, token_logprob(logits, token, wanted) if wanted >= 0 else None)

    def _edited(self, logits: Logits) -> Logits:
        """The logits with everything that the request adds; the same array where it adds nothing."""
        early = self._early and self.accepted < self.request.min_tokens
        if not (early or self._penalties.active or self._grammar is not None):
            return logits
        edited = logits.copy()
        self._penalties.apply(edited)
        if self._grammar is not None:
            edited += self._grammar.mask()
        if early:
            kept = edited[self._enders]
            edited[self._enders] = -np.inf
            if self._grammar is not None and edited.max() == -np.inf:
                edited[self._enders] = kept  # a grammar that is complete can only end
        return edited

    def _uniforms(self) -> "_Uniforms":
        return _Uniforms(self._seed, self.accepted)


class _Uniforms:
    """Random numbers of [0, 1): the n-th of a token is a hash of the seed, the token's number and n."""

    def __init__(self, seed: int, number: int) -> None:
        self._seed = seed
        self._number = number
        self._draw = 0

    def __call__(self) -> float:
        data = struct.pack("<QQQ", self._seed, self._number, self._draw)
        self._draw += 1
        return (int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 11) * 2.0**-53


def sample(logits: Logits, rows: Sequence[RowSampler]) -> list[Choice]:
    """The next token of each row; `logits` is of shape (rows, vocabulary) and is not changed.

    A row whose logits are not numbers gets an error; the others are not touched by that.
    """
    choices = []
    for number, token in enumerate(logits.argmax(1).tolist()):  # of the first NaN, where there is one
        row, greatest = rows[number], logits.item(number, token)
        if not math.isfinite(greatest):
            choices.append(Choice(-1, None, _unsound(greatest)))
        elif row.plain:
            choices.append(Choice(token))
        else:
            choices.append(row.choose(logits[number], token))
    return choices


def _unsound(value: float) -> str:
    what = "excludes every token" if value == -np.inf else "gave values that are not finite numbers"
    return f"the model {what} for the next token; it may be damaged or overflow at this prompt"
