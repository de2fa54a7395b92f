"""One file from a source onto the disk: from where an earlier try stopped, checked, in constant memory.

Which files, and where they go in the end, is `fetching.py`'s.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from genai_runtime.fetch.digests import FileRecord, Hashing, hash_file
from genai_runtime.fetch.errors import Passing, checksum_mismatch
from genai_runtime.fetch.patience import Patience
from genai_runtime.fetch.progress import Progress
from genai_runtime.fetch.room import Room
from genai_runtime.fetch.source import RemoteFile, Source

_log = structlog.get_logger("genai_runtime.fetch")


@dataclass
class Downloads:
    """All downloads of one fetch. `bytes` counts what is on the disk of them, for the limit."""

    source: Source
    label: str
    progress: Progress
    patience: Patience
    room: Room
    bytes: int = 0

    def fetch(self, file: RemoteFile, path: Path) -> FileRecord:
        """The file at `path`, whole and checked. Raises `ModelUnusable`, or `SourceChanged`."""
        for again in (True, False):
            record, problem = self._once(file, path)
            if not problem:
                self.progress.add_file()
                return record
            self._forget(path)
            if again:  # what lay there may have been damaged while it waited
                _log.warning("fetching a file once more", file=file.name, reason=problem)
        raise checksum_mismatch(
            f"{self.label}: {file.name} came damaged twice: {problem}; the source has been changed, or something on "
            "the way changes it"
        )

    def _once(self, file: RemoteFile, path: Path) -> tuple[FileRecord, str]:
        with self.room.writing(file.size or 0):
            path.parent.mkdir(parents=True, exist_ok=True)
            hashing, offset = self._resume(file, path)
        with contextlib.closing(_Writing(self, file, path, hashing, offset)) as writing:
            self.patience.until_done(writing.attempt)
            hashing, offset = writing.hashing, writing.offset
        return FileRecord(file.name, offset, hashing.sha256), hashing.problem()

    def _resume(self, file: RemoteFile, path: Path) -> tuple[Hashing, int]:
        """What an earlier run left, hashed again; nothing where it cannot be told to belong to this version."""
        hashing = Hashing(file)
        size = path.stat().st_size if path.exists() else 0
        if not size:
            return hashing, 0
        if not file.version or file.size is None or size > file.size:
            path.unlink()
            return hashing, 0
        hash_file(path, hashing, self.progress.found)
        self.bytes += size
        return hashing, size

    def _forget(self, path: Path) -> None:
        size = path.stat().st_size
        path.unlink()
        self.bytes -= size
        self.progress.add(-size)


class _Writing:
    """One file while it grows."""

    def __init__(self, downloads: Downloads, file: RemoteFile, path: Path, hashing: Hashing, offset: int) -> None:
        self._all = downloads
        self._file = file
        self._path = path
        self._out: BinaryIO = path.open("ab")
        self.hashing = hashing
        self.offset = offset
        self._furthest = offset

    def attempt(self) -> None:
        """Everything from `offset` on; what came stays when it raises `Passing`."""
        file = self._file
        if self.offset != file.size:
            with self._all.source.read(file, self.offset) as body:
                if body.start != self.offset:
                    self._restart()
                for chunk in body.chunks:
                    self._append(chunk)
            if file.size is not None and self.offset < file.size:
                raise Passing(f"the server ended {file.name} after {self.offset} of {file.size} bytes")
        with self._all.room.writing(0):
            self._out.flush()
            os.fsync(self._out.fileno())

    def close(self) -> None:
        """The disk has all bytes; a full one has been told by then."""
        with contextlib.suppress(OSError):
            self._out.close()

    def _append(self, chunk: bytes) -> None:
        file = self._file
        if file.size is not None and self.offset + len(chunk) > file.size:
            self._restart()
            raise Passing(f"the server sent more than the {file.size} bytes of {file.name}")
        with self._all.room.writing((file.size or self.offset + len(chunk)) - self.offset):
            self._out.write(chunk)
        self.hashing.update(chunk)
        self.offset += len(chunk)
        self._all.bytes += len(chunk)
        if file.size is None:
            self._all.room.check(self._all.bytes, self._all.bytes)
        self._all.progress.add(len(chunk))
        if self.offset > self._furthest:  # a server that begins anew each time and never ends is not endured
            self._furthest = self.offset
            self._all.patience.moving()

    def _restart(self) -> None:
        self._out.truncate(0)
        self._all.bytes -= self.offset
        self._all.progress.add(-self.offset)
        self.hashing, self.offset = Hashing(self._file), 0
