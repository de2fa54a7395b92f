"""The rows of the cache with what lies in them: places, lengths, memory and copies kept in step.

Which row a request gets is `slots`'s to say and what is counted is `memory`'s; here the graph copies accordingly.
"""

import math

from genai_runtime.engine.batch.graph import Graph, KvBlock
from genai_runtime.engine.batch.memory import KvMemory
from genai_runtime.engine.batch.prefix import BLOCK_TOKENS, PrefixCache
from genai_runtime.engine.batch.sequence import Sequence
from genai_runtime.engine.batch.slots import Move, Slots


class Rows:
    """`lengths[i]` positions are cached in row i. The joining request lies beyond the rows that decode."""

    def __init__(self, graph: Graph, count: int, memory: KvMemory, prefixes: PrefixCache[KvBlock]) -> None:
        """`count` rows are for requests; the graph may have one more, for exchanging rows of different adapters."""
        self._graph = graph
        self.slots: Slots[Sequence] = Slots(count)
        self.lengths = [0] * graph.rows
        self.memory = memory
        self.prefixes = prefixes

    def reserve(self, sequence: Sequence) -> None:
        """Give a joining request the row after the last, memory for all it has so far, and what is known of it."""
        sequence.row = len(self.slots)
        self.memory.hold(sequence.row, sequence.positions)
        self.fit()
        total = sequence.to_prefill
        if not sequence.request.fresh:
            sequence.keys = self.prefixes.keys(sequence.prompt[:total], sequence.request.adapter)
        found = self.prefixes.find(sequence.keys)
        for number, block in enumerate(found):
            self._graph.load_block(sequence.row, number * BLOCK_TOKENS, block)
        sequence.done = len(found) * BLOCK_TOKENS
        if not sequence.preempted and not sequence.request.fresh:
            sequence.cached = sequence.done
            self.prefixes.count(total, sequence.done)

    def keep_prefix(self, sequence: Sequence, computed: int) -> None:
        """Keep the blocks that the last `computed` positions of a joining request have completed."""
        for number in range((sequence.done - computed) // BLOCK_TOKENS, sequence.done // BLOCK_TOKENS):
            chain = sequence.keys[: number + 1]
            if chain and not self.prefixes.holds(chain[-1]):
                start = number * BLOCK_TOKENS
                self.prefixes.put(chain, self._graph.save(sequence.row, start, start + BLOCK_TOKENS))
        self.fit()

    def abandon(self, sequence: Sequence) -> None:
        """Take the row of a joining request."""
        self.memory.drop(sequence.row)
        sequence.row = -1

    def activate(self, sequence: Sequence) -> None:
        """Put a joining request, its prompt computed, among the rows that decode."""
        source, length = sequence.row, sequence.done
        row, moves = self.slots.insert(sequence, sequence.request.adapter)
        if moves and moves[0].target == source:  # its row is wanted by another adapter's
            source = self._copy(Move(source, self._graph.rows - 1), length)
        for move in moves:
            self._move(move)
        if row != source:
            self._copy(Move(source, row), length)
        sequence.row = -1
        self.lengths[row] = length
        self._graph.ids[row] = sequence.next_token(length)

    def remove(self, row: int) -> None:
        """Free a row that decodes."""
        self.memory.drop(row)
        for move in self.slots.remove(row):
            self._move(move)

    def fit(self) -> None:
        """Throw out kept prefixes, and give back pages, until all that is held fits the budget."""
        size = self.memory.bytes_per_token
        self.prefixes.shrink(min(self.prefixes.max_bytes, self.memory.free * size))
        for row, start in self.memory.give_back(math.ceil(self.prefixes.nbytes / size)):
            self._graph.give_back(row, start)

    def _move(self, move: Move) -> None:
        self._copy(move, self.lengths[move.source])
        self.lengths[move.target] = self.lengths[move.source]
        self._graph.ids[move.target] = self._graph.ids[move.source]

    def _copy(self, move: Move, length: int) -> int:
        self._graph.copy_row(move.source, move.target, length)
        self.memory.move(move)
        return move.target
