"""How much memory the cache of keys and values may take, and how much of it is in use, row by row.

Arithmetic over positions; who is put off when there is no room is `schedule`'s, and the memory itself is the graph's.
Rows are reserved at full length, but the kernel gives them pages only where they are written, so a row costs what was
ever written in it until those pages are given back.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from genai_runtime.engine.batch.slots import Move
from genai_runtime.errors import ModelUnusable

BLOCK_TOKENS = 64
# Kept free of a pod's memory: for the front process with its streams, and for what nobody can count.
FRONT_BYTES = 192 * 1024 * 1024
_SLACK = 0.05
_DEFAULT_PREFIX_SHARE = 0.25
_STATUS = Path("/proc/self/status")


def resident_bytes(status: Path = _STATUS) -> int:
    """What this process holds in memory now; after a warm-up that is weights, graph and scratch of runs."""
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{status} does not tell how much memory this process holds")


def kv_budget(asked: int, limit: int, resident: int, most: int) -> int:
    """Bytes for cached positions: `asked`, or (0) what `limit` leaves beside `resident`; `most` can be used at all.

    Raises `ModelUnusable` when what was asked for does not fit, or nothing is left.
    """
    free = int(limit * (1 - _SLACK)) - resident - FRONT_BYTES
    if free <= 0:
        raise ModelUnusable(
            "OutOfMemory",
            f"the model takes {resident} bytes, and with the server's {FRONT_BYTES} nothing of the memory limit of "
            f"{limit} bytes is left for a KV cache; raise the limit",
        )
    if asked > free:
        raise ModelUnusable(
            "OutOfMemory",
            f"a KV cache of {asked} bytes was asked for, but of the memory limit of {limit} bytes only {max(0, free)} "
            f"are left beside the model ({resident}) and the server; raise the limit or ask for less",
        )
    return min(asked or free, most)


def prefix_budget(asked: int, kv_bytes: int) -> int:
    """Bytes of the KV cache that kept prefixes may take while nobody else needs them: `asked`, or (-1) a quarter."""
    return int(kv_bytes * _DEFAULT_PREFIX_SHARE) if asked < 0 else min(asked, kv_bytes)


def blocks(positions: int) -> int:
    """Rounded up to whole blocks."""
    return math.ceil(positions / BLOCK_TOKENS) * BLOCK_TOKENS


class KvMemory:
    """Positions of all rows together, in blocks. `total` may be in use; `kept` of them hold prefixes kept aside."""

    def __init__(self, budget_bytes: int, bytes_per_token: int, rows: int) -> None:
        """Raises `ModelUnusable` when not even one block fits."""
        self.bytes_per_token = bytes_per_token
        self.total = budget_bytes // bytes_per_token // BLOCK_TOKENS * BLOCK_TOKENS
        if not self.total:
            raise ModelUnusable(
                "OutOfMemory",
                f"a KV cache of {budget_bytes} bytes does not hold {BLOCK_TOKENS} tokens of {bytes_per_token} bytes "
                "each; give the cache more, or raise the memory limit",
            )
        # Lists: they are read before every run, and numpy's way of adding few numbers is the longer one
        self._held = [0] * rows
        self._written = [0] * rows

    @property
    def used(self) -> int:
        """Positions that requests hold."""
        return sum(self._held)

    @property
    def free(self) -> int:
        """Positions that no request holds; kept prefixes may lie there, and must go when they are needed."""
        return self.total - self.used

    def held(self, row: int) -> int:
        """Positions that the request in `row` holds."""
        return self._held[row]

    def hold(self, row: int, positions: int) -> None:
        """The request in `row` holds so many positions from now on."""
        self._held[row] = blocks(positions)
        self._written[row] = max(self._written[row], self._held[row])

    def drop(self, row: int) -> None:
        """The row is free."""
        self._held[row] = 0

    def move(self, move: Move) -> None:
        """The request in the row `source` lies in `target` now."""
        self._held[move.target] = self._held[move.source]
        self._written[move.target] = max(self._written[move.target], self._held[move.source])
        self._held[move.source] = 0

    def growth(self, lengths: Sequence[int]) -> int:
        """Positions that rows 0.. need beyond what they hold when each gets one more than `lengths`."""
        missing = 0
        for length, held in zip(lengths, self._held, strict=False):
            if length >= held:
                missing += blocks(length + 1 - held)
        return missing

    def grow(self, lengths: Sequence[int]) -> None:
        """Take what `growth` told."""
        for row, length in enumerate(lengths):
            if length >= self._held[row]:
                self.hold(row, length + 1)

    def give_back(self, kept: int) -> list[tuple[int, int]]:
        """(row, first position) of pages that are written but not held, when they and `kept` exceed the total.

        They count as given back; the caller does it.
        """
        if sum(self._written) + kept <= self.total:
            return []
        both = zip(self._written, self._held, strict=True)
        stale = [(row, held) for row, (written, held) in enumerate(both) if written > held]
        self._written = list(self._held)
        return stale
