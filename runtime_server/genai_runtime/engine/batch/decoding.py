"""One decode step: a run for each adapter's rows, a token chosen for each row, who has come to an end.

Rows stay where they are in here; removing those that ended is the engine's. Nothing here is called by other threads.
"""

import time
from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np
import structlog

from genai_runtime.engine import ort
from genai_runtime.engine.batch.graph import Graph, Logits
from genai_runtime.engine.batch.rows import Rows
from genai_runtime.engine.batch.runs import Runs, Terminated
from genai_runtime.engine.batch.sampling import Choice, RowSampler, sample
from genai_runtime.engine.batch.sequence import Sequence
from genai_runtime.engine.batch.slots import Group
from genai_runtime.engine.batch.speculation import NgramDrafts
from genai_runtime.generation import FinishReason, Tokens

# How long a step waits for grammars that are slower than the model's run, and how long where all are.
_GRAMMAR_SECONDS = 0.003
_ALL_SECONDS = 0.05
_LOOK_SECONDS = 0.0002
_log = structlog.get_logger("genai_runtime.engine")


@dataclass(frozen=True, slots=True)
class Ending:
    """The request in `row` has come to its end."""

    row: int
    sequence: Sequence
    reason: FinishReason
    message: str = ""
    stop_token_id: int = -1


class Decoding:
    """`generated_tokens` are all that were given out."""

    def __init__(self, graph: Graph, rows: Rows, runs: Runs, *, speculate: bool) -> None:
        self.generated_tokens = 0
        self._graph = graph
        self._rows = rows
        self._runs = runs
        self._speculate = speculate

    def step(self, *, alone: bool) -> tuple[list[Tokens], list[Ending]]:
        """Advance all rows by one token, or by several where a request is `alone` and guesses are right."""
        tokens: list[Tokens] = []
        endings: list[Ending] = []
        if self._speculate and alone and len(self._rows.slots) == 1 and self._guess(tokens, endings):
            return tokens, endings
        for group in self._rows.slots.groups():
            self._decode(group, tokens, endings)
        return tokens, endings

    def _decode(self, group: Group, tokens: list[Tokens], endings: list[Ending]) -> None:
        first, stop = group.first, group.first + group.count
        sequences = self._rows.slots.items[first:stop]
        lengths = self._rows.lengths
        began = time.perf_counter()
        try:
            logits = self._runs.run(
                "decode",
                sequences[0].request.adapter,
                lambda: {each.request_id: each.next_number for each in sequences},
                lambda: any(each.stop is None for each in sequences),
                lambda options: self._graph.decode(group.count, lengths, options, first),
                lambda: {each.request_id: each.cached for each in sequences},
            )
        except Terminated:  # nothing has changed, and the run is done again in the next step
            return
        except ort.OrtError as error:
            self._failed(group, error, tokens, endings)
            return
        seconds = time.perf_counter() - began
        late = _late(sequences)
        fresh = []
        for row, sequence in enumerate(sequences, first):
            if row - first in late:  # the next run computes this position again, to the same bits
                continue
            lengths[row] += 1
            sequence.decode_seconds += seconds
            if sequence.to_repeat:
                self._repeat(row, sequence)
            else:
                fresh.append(row)
        if len(fresh) < group.count:
            logits = logits[[row - first for row in fresh]]
            sequences = [self._rows.slots.items[row] for row in fresh]
        choices = self._runs.sampling(lambda: _choices(logits, sequences))
        for row, sequence, choice in zip(fresh, sequences, choices, strict=True):
            self._take(row, sequence, choice, tokens, endings)

    def _failed(self, group: Group, error: ort.OrtError, tokens: list[Tokens], endings: list[Ending]) -> None:
        """A run that fails for several rows is done for each alone, so that one bad row ends alone."""
        sequence = self._rows.slots.items[group.first]
        if group.count == 1:
            _log.warning("generation failed", request=sequence.request_id, reason=str(error))
            endings.append(Ending(group.first, sequence, FinishReason.ERROR, f"the model's run failed: {error}"))
            return
        for row in range(group.first, group.first + group.count):
            self._decode(Group(row, 1, group.key), tokens, endings)

    def _repeat(self, row: int, sequence: Sequence) -> None:
        """The row has decoded a token of an output that it had already before it was put off."""
        self._graph.ids[row] = sequence.output[-sequence.to_repeat]
        sequence.to_repeat -= 1

    def _take(self, row: int, sequence: Sequence, choice: Choice, tokens: list[Tokens], endings: list[Ending]) -> bool:
        """Give a token out, or end the request; whether it goes on."""
        sampler = sequence.sampler
        if sequence.stop is not None or sampler is None:
            return False
        token = choice.token
        if choice.error:
            endings.append(Ending(row, sequence, FinishReason.ERROR, choice.error))
            return False
        if sampler.ends_with(token):
            endings.append(Ending(row, sequence, FinishReason.STOP, stop_token_id=token))
            return False
        sampler.accept(token)
        sequence.output.append(token)
        self._graph.ids[row] = token
        self.generated_tokens += 1
        if sequence.drafts is not None:
            sequence.drafts.extend(token)
        tokens.append(Tokens(sequence.request_id, [token], [] if choice.logprob is None else [choice.logprob]))
        if len(sequence.output) < sequence.limit and not sampler.complete:
            return True
        reason = FinishReason.STOP if sampler.complete else FinishReason.LENGTH
        endings.append(Ending(row, sequence, reason))
        return False

    def _guess(self, tokens: list[Tokens], endings: list[Ending]) -> bool:
        """Decode several tokens of the only row in one run, if there is a guess at them; whether that was done."""
        sequence, length = self._rows.slots.items[0], self._rows.lengths[0]
        if sequence.to_repeat:
            return False
        if sequence.drafts is None:
            sequence.drafts = NgramDrafts([*sequence.request.prompt, *sequence.output])
        room = min(self._rows.memory.held(0) - length - 1, sequence.limit - len(sequence.output) - 1)
        guess = sequence.drafts.propose(room)
        if not guess:
            return False
        began = time.perf_counter()
        ids = np.array([self._graph.ids[0], *guess], np.int64)
        try:
            logits = self._runs.run(
                "decode",
                sequence.request.adapter,
                lambda: {sequence.request_id: sequence.next_number},
                lambda: sequence.stop is None,
                lambda options: self._graph.verify(0, ids, length, options),
                lambda: {sequence.request_id: sequence.cached},
            )
        except Terminated:
            return True
        except ort.OrtError as error:
            self._failed(Group(0, 1, sequence.request.adapter), error, tokens, endings)
            return True
        sequence.decode_seconds += time.perf_counter() - began
        self._runs.sampling(lambda: self._keep(sequence, guess, logits, tokens, endings))
        return True

    def _keep(
        self, sequence: Sequence, guess: list[int], logits: Logits, tokens: list[Tokens], endings: list[Ending]
    ) -> None:
        """Take the tokens that are chosen, up to the first one that was not guessed."""
        kept = 0
        for number in range(len(guess) + 1):
            (choice,) = _choices(logits[number : number + 1], [sequence])
            self._rows.lengths[0] += 1
            if not self._take(0, sequence, choice, tokens, endings):
                break
            if number == len(guess) or choice.token != guess[number]:
                break
            kept += 1
        if sequence.drafts is not None:
            sequence.drafts.judge(len(guess), kept)


def _late(sequences: Several[Sequence]) -> set[int]:
    """Of these rows those whose grammar does not know yet what may come next. Others are not kept waiting for them."""
    until = time.perf_counter() + _GRAMMAR_SECONDS
    waiting = {row for row, each in enumerate(sequences) if not each.to_repeat and not _ready(each)}
    if len(waiting) == len(sequences):
        until += _ALL_SECONDS
    while waiting and time.perf_counter() < until:
        time.sleep(_LOOK_SECONDS)
        waiting = {row for row in waiting if not _ready(sequences[row])}
    return waiting


def _ready(sequence: Sequence) -> bool:
    return sequence.sampler is None or sequence.sampler.ready


def _choices(logits: Logits, sequences: Several[Sequence]) -> list[Choice]:
    """A choice for each row; a row whose sampling fails gets an error, and no other."""
    samplers = [sequence.sampler for sequence in sequences if sequence.sampler is not None]
    try:
        return sample(logits, samplers)
    except Exception:
        _log.exception("sampling failed; trying each request alone")
        return [_choice(logits[number], sampler) for number, sampler in enumerate(samplers)]


def _choice(logits: Logits, sampler: RowSampler) -> Choice:
    try:
        return sample(logits[None], [sampler])[0]
    except Exception as error:
        return Choice(-1, None, f"choosing a token failed: {type(error).__name__}")
