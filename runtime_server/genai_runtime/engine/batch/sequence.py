"""One request in the batch engine: what it asked for, how far it is, why it must end. Who runs when is the engine's."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from genai_runtime.engine.batch.grammar import PendingGrammar
from genai_runtime.engine.batch.sampling import RowSampler
from genai_runtime.engine.batch.speculation import NgramDrafts
from genai_runtime.generation import Finished, FinishReason, GenerationRequest


@dataclass(slots=True, eq=False)
class Sequence:
    """`done` positions of the prompt are computed while it joins. `stop` is set by any thread under the engine's lock.

    A preempted request keeps its output and its sampler. Its prompt is computed again, and its output is decoded again
    token by token, without choosing: only so are the same numbers computed as the first time.
    """

    request: GenerationRequest
    number: int
    prompt: npt.NDArray[np.int64]
    limit: int  # tokens of its output, at most
    sampler: RowSampler | None = None
    compiling: PendingGrammar | None = None
    preempted: bool = False
    ended: bool = False
    stop: FinishReason | None = None
    row: int = -1  # while it joins
    done: int = 0
    keys: list[bytes] = field(default_factory=list)
    output: list[int] = field(default_factory=list)
    to_repeat: int = 0  # tokens of the output that are to be decoded again
    drafts: NgramDrafts | None = None
    cached: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def priority(self) -> int:
        """The request's."""
        return self.request.priority

    @property
    def request_id(self) -> str:
        """The request's."""
        return self.request.request_id

    @property
    def to_prefill(self) -> int:
        """Positions that the prefill computes: the prompt's last token is the first one that is decoded."""
        return len(self.prompt) - 1

    @property
    def positions(self) -> int:
        """Positions it needs to go on from where it is."""
        return len(self.prompt) + len(self.output)

    @property
    def next_number(self) -> int:
        """Which token of its output, from 1, the next decode run makes."""
        return len(self.output) - self.to_repeat + 1

    def put_off(self) -> None:
        """It has lost its row, and begins anew later."""
        self.preempted = True
        self.row = -1
        self.done = 0
        self.to_repeat = len(self.output)

    def next_token(self, length: int) -> int:
        """The token at position `length`, which is decoded next."""
        index = length - len(self.prompt)
        return int(self.prompt[-1]) if index < 0 else self.output[index]

    def finished(self, reason: FinishReason, message: str = "", stop_token_id: int = -1) -> Finished:
        """The request's last event."""
        return Finished(
            self.request_id,
            reason,
            len(self.request.prompt),
            len(self.output),
            self.prefill_seconds,
            self.decode_seconds,
            message,
            self.cached,
            stop_token_id,
        )
