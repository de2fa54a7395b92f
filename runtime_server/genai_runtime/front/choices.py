"""One answer of a request, from its token ids to the text that may be given out.

Pure: no clock, no engine. Everything that decides what a client sees of the tokens is here and in what this uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genai_runtime.front.detokenizing import Detokenizer
from genai_runtime.front.stop_strings import StopStrings
from genai_runtime.generation import Finished, GenerationRequest, TokenLogprob, Tokens

_SEEDS = 2**64


@dataclass(slots=True)  # not frozen, as `Tokens`
class TextChunk:
    """New tokens of the choice `index` (0 to n-1), and the characters they completed."""

    request_id: str
    text: str
    ids: list[int]
    index: int = 0
    logprobs: Sequence[TokenLogprob] = ()


def requests_of(request: GenerationRequest, choices: int) -> list[GenerationRequest]:
    """One engine request a choice: ids ID, ID-1, …, seeds SEED, SEED+1, …; the first is `request` itself."""
    return [request, *(_another(request, index) for index in range(1, choices))]


def _another(request: GenerationRequest, index: int) -> GenerationRequest:
    seed = request.sampling.seed
    sampling = replace(request.sampling, seed=None if seed is None else (seed + index) % _SEEDS)
    id_ = f"{request.request_id}-{index}"
    return replace(request, request_id=id_, sampling=sampling, choice_of=request.request_id)


class Choice:
    """Takes one engine request's events and makes chunks of them.

    With stop strings a token is given out (and counted) as soon as its text, or its beginning, is; tokens that lie
    wholly inside the stop string or after it never are. So the ids of all chunks are what usage counts.
    """

    __slots__ = (
        "_detokenizer",
        "_ids",
        "_logprobs",
        "_request_id",
        "_stops",
        "_withheld",
        "end",
        "index",
        "stop",
        "touched",
    )

    def __init__(self, index: int, request_id: str, detokenizer: Detokenizer, stops: Sequence[str]) -> None:
        """`request_id` is the client's, the same for all choices."""
        self.index = index
        self.end: Finished | None = None
        self.stop: str | None = None  # the stop string that was found; then nothing more comes out of this choice
        self.touched = False  # whether something has come that no chunk has told yet
        self._request_id = request_id
        self._detokenizer = detokenizer
        self._stops = StopStrings(stops) if stops else None
        self._ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._withheld: list[_Withheld] = []

    def add(self, tokens: Tokens) -> None:
        """New tokens, for the next chunk."""
        self.touched = True
        self._ids += tokens.ids
        if tokens.logprobs:
            self._logprobs += tokens.logprobs

    def finish(self, end: Finished) -> None:
        """Nothing more will come."""
        self.touched = True
        self.end = end

    def chunk(self) -> TextChunk | None:
        """What has become sayable since the last call; all the rest once `end` is set."""
        ids, logprobs = self._ids, self._logprobs
        self._ids, self._logprobs, self.touched = [], [], False
        if self._stops is not None:
            text, ids, logprobs = self._until_stop(self._stops, ids, logprobs)
            self.stop = self._stops.found
        else:
            text = self._detokenizer.push(ids) if ids else ""
            if self.end is not None:
                text += self._detokenizer.flush()
        return TextChunk(self._request_id, text, ids, self.index, logprobs) if ids or text else None

    def _until_stop(
        self, stops: StopStrings, ids: list[int], logprobs: list[TokenLogprob]
    ) -> tuple[str, list[int], list[TokenLogprob]]:
        """Token by token, so that the place of each in the text is known."""
        given = ""
        waiting = len(stops.held)  # characters before the next token that are not in `given`
        for position, id_ in enumerate(ids):
            self._withheld.append(_Withheld(id_, logprobs[position] if logprobs else None, waiting + len(given)))
            given += stops.push(self._detokenizer.push([id_]))
            if stops.found is not None:
                break
            waiting = len(stops.held)
        if self.end is not None and stops.found is None:
            given += stops.push(self._detokenizer.flush())
            given += stops.flush()
        return self._release(stops, given)

    def _release(self, stops: StopStrings, given: str) -> tuple[str, list[int], list[TokenLogprob]]:
        """The withheld tokens whose text begins in `given`; all of them at the end."""
        if self.end is not None and stops.found is None:
            ready, self._withheld = self._withheld, []
        else:
            ready = [token for token in self._withheld if token.begin < len(given)]
            self._withheld = [
                _Withheld(token.id, token.logprob, token.begin - len(given)) for token in self._withheld[len(ready) :]
            ]
        return given, [token.id for token in ready], [token.logprob for token in ready if token.logprob is not None]


@dataclass(frozen=True, slots=True)
class _Withheld:
    """A token that was not given out yet; `begin` counts characters from what has been given out before."""

    id: int
    logprob: TokenLogprob | None
    begin: int
