"""Unpacking an archive of a model folder: tar, tar.gz or zip, told by content.

Only plain files and folders come out, below the target, none twice and none over another, bounded in number, depth and
bytes. Fetching archives is not done here, nor is judging what was unpacked (`inspect.py`).
"""

import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.defects import Code, Defect, Unusable, shown
from genai_runtime.models.limits import DEFAULT, Limits
from genai_runtime.models.names import collision_key, name_fault

_CHUNK = 1 << 20
# The most that a header may have read at once: names and extended headers, which a tar file declares the length of.
_LARGEST_HEADER = 1 << 20
_LARGEST_DIRECTORY = 16 << 20  # of a zip file, which is read as a whole
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    NotImplementedError,
    ValueError,
)


def unpack(archive: Path, target: Path, limits: Limits = DEFAULT) -> None:
    """Unpack `archive` into `target`, an empty folder or none yet.

    Raises `ModelUnusable` with ModelInvalid for an archive that is broken or unsafe, OSError where writing fails; what
    was written by then is left for the caller to remove.
    """
    try:
        size = archive.stat().st_size
        unpacking = _Unpacking(target, limits, size)
        with archive.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=file) as plain:
                    _unpack_tar(plain, unpacking)
            elif start in (b"PK\x03\x04", b"PK\x05\x06"):
                _check_directory(file, size)
                _unpack_zip(file, unpacking)
            else:
                _unpack_tar(file, unpacking)
        unpacking.end()
    except Unusable as error:
        _refuse(archive, error.defect)
    except _BROKEN as error:
        _refuse(archive, Defect(Code.ARCHIVE_BROKEN, f"it cannot be read: {error}"))


def _refuse(archive: Path, defect: Defect) -> NoReturn:
    told = Defect(defect.code, f"{shown(archive.name)}: {defect.what}")
    raise ModelUnusable("ModelInvalid", told.message) from None


@dataclass(slots=True)
class _Unpacking:
    """What has come out so far. `archive_bytes`: the archive's own size."""

    target: Path
    limits: Limits
    archive_bytes: int
    files: int = 0
    written: int = 0
    seen: dict[str, bool] = field(default_factory=dict)  # by collision key: whether it is a folder

    def folder(self, name: str) -> None:
        """Make a folder and those above it."""
        self._path(name, is_folder=True).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, size: int, content: IO[bytes]) -> None:
        """Write a file of `size` bytes, not one more."""
        path = self._path(name, is_folder=False)
        self._check_size(name, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        left = size
        with os.fdopen(os.open(path, flags, 0o644), "wb") as out:
            while left and (part := content.read(min(left, _CHUNK))):
                out.write(part)
                left -= len(part)
        if left:
            raise Unusable(Code.ARCHIVE_BROKEN, f"{shown(name)} in it is cut off")
        self.files += 1

    def end(self) -> None:
        """Raises `Unusable` if nothing came out."""
        if not self.files:
            raise Unusable(Code.ARCHIVE_BROKEN, "there are no files in it")

    def _check_size(self, name: str, size: int) -> None:
        self.written += size
        limits = self.limits
        if size < 0 or self.written > limits.total_bytes:
            raise Unusable(Code.TOO_LARGE, f"it holds more than {limits.total_bytes} bytes, up to {shown(name)}")
        if self.written > limits.ratio_free_bytes + limits.archive_ratio * self.archive_bytes:
            raise Unusable(
                Code.ARCHIVE_UNSAFE,
                f"{self.archive_bytes} bytes become more than {limits.archive_ratio} times as many (a bomb)",
            )

    def _path(self, name: str, *, is_folder: bool) -> Path:
        parts = [part for part in name.rstrip("/").split("/") if part != "."] if not name.startswith("/") else [""]
        for part in parts:
            fault = name_fault(part, self.limits)
            if fault:
                raise Unusable(Code.ARCHIVE_UNSAFE, f"the name {shown(name)} in it {fault}")
        if len(parts) > self.limits.depth + 1:
            raise Unusable(Code.TOO_DEEP, f"{shown(name)} in it lies deeper than {self.limits.depth} folders")
        for end in range(1, len(parts) + 1):
            self._see("/".join(parts[:end]), folder=is_folder or end < len(parts))
        return self.target.joinpath(*parts)

    def _see(self, name: str, *, folder: bool) -> None:
        key = collision_key(name)
        before = self.seen.get(key)
        if before is not None and (not folder or not before):
            raise Unusable(Code.NAMES_COLLIDE, f"{shown(name)} is in it twice, or differs from another in case only")
        self.seen[key] = folder
        if len(self.seen) > self.limits.files:
            raise Unusable(Code.TOO_MANY_FILES, f"it holds more than {self.limits.files} files and folders")


class _Bounded:
    """A file for tarfile, which reads headers in one go, however long they say they are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise Unusable(Code.ARCHIVE_UNSAFE, f"a header in it says that it is {size} bytes long")
        return self._file.read(size)


def _unpack_tar(file: Any, unpacking: _Unpacking) -> None:
    bounded: Any = _Bounded(file)
    with tarfile.open(fileobj=bounded, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else each is kept
            if member.isdir():
                if member.name.strip("./"):
                    unpacking.folder(member.name)
                continue
            if not member.isreg() or member.issparse():
                kind = "a link" if member.issym() or member.islnk() else "sparse, a device or a queue"
                raise Unusable(Code.ARCHIVE_UNSAFE, f"{shown(member.name)} in it is {kind}")
            content = tar.extractfile(member)
            if content is None:
                raise Unusable(Code.ARCHIVE_BROKEN, f"{shown(member.name)} in it has no content")
            unpacking.file(member.name, member.size, content)


def _unpack_zip(file: IO[bytes], unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                unpacking.folder(entry.filename)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise Unusable(Code.ARCHIVE_UNSAFE, f"{shown(entry.filename)} in it is a link or a special file")
            elif entry.flag_bits & _ENCRYPTED or entry.compress_type not in _ZIP_METHODS:
                raise Unusable(Code.ARCHIVE_UNSAFE, f"{shown(entry.filename)} in it is encrypted, or not deflated")
            else:
                with archive.open(entry) as content:
                    unpacking.file(entry.orig_filename, entry.file_size, content)


def _check_directory(file: IO[bytes], size: int) -> None:
    """zipfile reads the whole list of entries before anybody can count them."""
    tail = min(size, 22 + 0xFFFF)
    file.seek(size - tail)
    data = file.read(tail)
    end = data.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > tail:
        raise Unusable(Code.ARCHIVE_BROKEN, "it is cut off: it has no list of its entries")
    length = int.from_bytes(data[end + 12 : end + 16], "little")
    locator = data[max(0, end - 20) : end]
    if locator[:4] == b"PK\x06\x07":
        file.seek(min(int.from_bytes(locator[8:16], "little"), size))
        record = file.read(56)
        length = max(int.from_bytes(record[40:48], "little"), 0 if length == 0xFFFFFFFF else length)
    file.seek(0)
    if length > _LARGEST_DIRECTORY:
        raise Unusable(Code.TOO_MANY_FILES, f"the list of its entries is {length} bytes long")
