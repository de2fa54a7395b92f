"""Computed beginnings of prompts, kept aside: blocks of tokens, known by all before them; the least used go first.

Only what a prefill computed is kept, for what decoding computes rounds differently: a prompt that begins with kept
blocks gives the same tokens as one that was computed whole. No copying here: a block is whatever the graph saved.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

# Smaller ones find more, larger ones cost fewer copies: 16 tokens are copied in 50 µs and computed in 10 ms.
BLOCK_TOKENS = 16
_DIGEST_BYTES = 16


class Sized(Protocol):
    """A block as the graph saves it."""

    @property
    def nbytes(self) -> int: ...


B = TypeVar("B", bound=Sized)


class PrefixCache(Generic[B]):
    """`max_bytes` 0: nothing is kept. `nbytes` is what is held now; `evictions` and the tokens are since the start."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.evictions = 0
        self.asked_tokens = 0
        self.hit_tokens = 0
        self._blocks: OrderedDict[bytes, B] = OrderedDict()  # the least recently used first

    @property
    def tokens(self) -> int:
        """Positions held."""
        return len(self._blocks) * BLOCK_TOKENS

    def keys(self, tokens: NDArray[np.int64], adapter: str) -> list[bytes]:
        """One for each whole block of `tokens`; it stands for the adapter and all tokens up to the block's end."""
        if not self.max_bytes:
            return []
        keys: list[bytes] = []
        above = hashlib.blake2b(adapter.encode(), digest_size=_DIGEST_BYTES).digest()
        whole = len(tokens) // BLOCK_TOKENS * BLOCK_TOKENS
        data = tokens[:whole].tobytes()
        for start in range(0, len(data), BLOCK_TOKENS * 8):
            block = data[start : start + BLOCK_TOKENS * 8]
            above = hashlib.blake2b(above + block, digest_size=_DIGEST_BYTES).digest()
            keys.append(above)
        return keys

    def find(self, keys: Sequence[bytes]) -> list[B]:
        """The longest unbroken beginning that is held, as blocks; they count as used now."""
        found: list[B] = []
        for key in keys:
            block = self._blocks.get(key)
            if block is None:
                break
            found.append(block)
        self._touch(keys[: len(found)])
        return found

    def count(self, asked: int, hit: int) -> None:
        """Account for a prompt of which `asked` tokens are needed and `hit` were taken from here."""
        self.asked_tokens += asked
        self.hit_tokens += hit

    def holds(self, key: bytes) -> bool:
        """Whether the block is here."""
        return key in self._blocks

    def put(self, keys: Sequence[bytes], block: B) -> None:
        """Keep the last block of the chain `keys`, and throw out what was not used for longest to make room."""
        if block.nbytes > self.max_bytes or keys[-1] in self._blocks:
            return
        self._blocks[keys[-1]] = block
        self.nbytes += block.nbytes
        self._touch(keys)
        self.shrink(self.max_bytes)

    def shrink(self, to_bytes: int) -> None:
        """Throw out blocks until at most `to_bytes` are held."""
        while self._blocks and self.nbytes > to_bytes:
            _, block = self._blocks.popitem(last=False)
            self.nbytes -= block.nbytes
            self.evictions += 1

    def _touch(self, chain: Sequence[bytes]) -> None:
        """Ends first: a block is never thrown out before those that can only be found through it."""
        for key in reversed(chain):
            if key in self._blocks:
                self._blocks.move_to_end(key)
