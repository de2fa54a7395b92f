"""Checksums: those that sources state of a file, and the one digest that names a whole folder.

The folder's: sha256 over the sorted lines "SHA256  SIZE  NAME\n" of all its files.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.fetch.source import CHUNK_BYTES, RemoteFile

GIT_BLOB = "git-sha1"
"""What git names a file of a repository by: sha1 over its size and its bytes."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of a complete folder; `sha256` in hex."""

    name: str
    size: int
    sha256: str


def digest_of(records: Iterable[FileRecord]) -> str:
    """The folder's digest, in hex."""
    lines = sorted(f"{each.sha256}  {each.size}  {each.name}\n".encode() for each in records)
    return hashlib.sha256(b"".join(lines)).hexdigest()


class Hashing:
    """The checksums of one file while its bytes pass."""

    def __init__(self, file: RemoteFile | None = None) -> None:
        self._wanted = file.checks if file else ()
        self._sums = {"sha256": hashlib.sha256()}
        for algorithm, _ in self._wanted:
            if algorithm == GIT_BLOB:
                assert file is not None
                start = f"blob {file.size}\0".encode()
                self._sums[algorithm] = hashlib.sha1(start, usedforsecurity=False)
            elif algorithm not in self._sums:
                self._sums[algorithm] = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """The next bytes."""
        for each in self._sums.values():
            each.update(chunk)

    @property
    def sha256(self) -> str:
        """Of what has passed, in hex."""
        return self._sums["sha256"].hexdigest()

    def problem(self) -> str:
        """Which stated checksum the bytes do not have; empty when they have all."""
        for algorithm, wanted in self._wanted:
            found = self._sums[algorithm].hexdigest()
            if found != wanted.lower():
                return f"its {algorithm} is {found}, but its source states {wanted}"
        return ""


def hash_file(path: Path, hashing: Hashing, passed: Callable[[int], None]) -> None:
    """All bytes of a file; `passed` is told how many each time. Raises `OSError`."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hashing.update(chunk)
            passed(len(chunk))
