"""Which request lies in which row of the cache. Rows in use are 0 to n-1, those of one adapter side by side.

Pure: what has to be copied is returned as moves, and the engine copies. One decode run covers one group of rows, so
rows of one adapter must be neighbours; a row that leaves is filled from its group's end, and the next groups shift.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the row `source` onto `target`; moves are done in their order."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Group:
    """Rows `first` to `first + count - 1`, all with the same key."""

    first: int
    count: int
    key: Hashable


class Slots(Generic[T]):
    """Rows 0 to `rows` - 1; `items[i]` is what lies in row i."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.items: list[T] = []
        self._keys: list[Hashable] = []
        self._groups: list[Group] | None = []  # None: to be found anew

    def __len__(self) -> int:
        return len(self.items)

    @property
    def full(self) -> bool:
        """Whether no row is free."""
        return len(self.items) >= self.rows

    def groups(self) -> list[Group]:
        """The runs that a decode step needs, in the order of rows."""
        if self._groups is not None:
            return self._groups
        groups: list[Group] = []
        for row, key in enumerate(self._keys):
            if groups and groups[-1].key == key:
                groups[-1] = Group(groups[-1].first, groups[-1].count + 1, key)
            else:
                groups.append(Group(row, 1, key))
        self._groups = groups
        return groups

    def insert(self, item: T, key: Hashable) -> tuple[int, list[Move]]:
        """Put `item` at the end of its group; its row, and what must move before it may be filled.

        Row n is the target of the first move, if there is any: it must hold nothing that is still needed.
        """
        if self.full:
            raise ValueError(f"all {self.rows} rows are in use")
        end = next((group.first + group.count for group in self.groups() if group.key == key), len(self.items))
        after = [group for group in self.groups() if group.first >= end]
        moves: list[Move] = []
        self.items.append(item)
        self._keys.append(key)
        hole = len(self.items) - 1
        for group in reversed(after):  # its first row becomes its last
            self._move(group.first, hole, moves)
            hole = group.first
        self.items[hole], self._keys[hole] = item, key
        self._groups = None
        return hole, moves

    def remove(self, row: int) -> list[Move]:
        """Free `row`; what must move so that the rows in use stay together."""
        groups = self.groups()
        here = next(number for number, group in enumerate(groups) if group.first <= row < group.first + group.count)
        moves: list[Move] = []
        hole = row
        for group in groups[here:]:  # its last row fills the hole, which so reaches its end
            last = group.first + group.count - 1
            if last != hole:
                self._move(last, hole, moves)
            hole = last
        self.items.pop()
        self._keys.pop()
        self._groups = None
        return moves

    def _move(self, source: int, target: int, moves: list[Move]) -> None:
        moves.append(Move(source, target))
        self.items[target], self._keys[target] = self.items[source], self._keys[source]
