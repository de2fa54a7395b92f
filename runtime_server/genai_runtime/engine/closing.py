"""What owns something of a native library: freed at the end of a block, by `close`, or with the last reference."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Subclasses say what `close` frees; it has to work where `__init__` has failed."""

    @abstractmethod
    def close(self) -> None:
        """Free it. Safe to repeat."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
