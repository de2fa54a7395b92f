"""How many bytes may be fetched: what the user allows, and what the cache's disk has. Nothing is counted on disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.errors import storage_full, too_large

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Room:
    """`max_bytes` of one folder, 0: no limit but the disk. `source` is for messages."""

    cache: Path
    source: str
    max_bytes: int

    def check(self, total: int, there: int = 0) -> None:
        """Before bytes are fetched: `total` of them, `there` of which are on the disk. Raises `ModelUnusable`."""
        if self.max_bytes and total > self.max_bytes:
            raise too_large(
                f"{self.source} has {total} bytes, more than the {self.max_bytes} that spec.model.maxBytes allows; "
                "raise it, or name a smaller folder"
            )
        free = self._free()
        if total - there > free:
            raise self.full(total - there, free)

    def full(self, needed: int, free: int | None = None) -> ModelUnusable:
        """The error; `needed` bytes more."""
        left = self._free() if free is None else free
        return storage_full(
            f"{self.source} needs {needed} bytes more, but {self.cache} has {left} free; enlarge the claim of "
            "spec.model.cache, or remove models from it"
        )

    @contextmanager
    def writing(self, needed: int) -> Iterator[None]:
        """A full disk becomes `ModelUnusable`; another error of the disk as well."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise self.full(needed) from None
            raise unwritable(self.cache, error) from None

    def _free(self) -> int:
        disk = os.statvfs(self.cache)
        return disk.f_bavail * disk.f_frsize


def unwritable(place: Path, error: OSError) -> ModelUnusable:
    """The cache cannot be used at all."""
    return storage_full(
        f"{error.filename or place} cannot be used: {error.strerror or error}; mount the cache read-write, and let "
        f"group {os.getgid()} write to it"
    )
