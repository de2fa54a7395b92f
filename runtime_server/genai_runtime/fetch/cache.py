"""The cache: complete folders by their content, what sources resolved to, and what is not complete yet.

    models/DIGEST/          a complete folder; it comes by one rename and is never written to
    manifests/DIGEST.json   its files with their sizes and sha256
    sources/KEY.json        which folder a source is, and at which revision that was
    partial/KEY/            what an interrupted fetch left
    locks/KEY.lock          held while a source is fetched

KEY is a hash of what names the source. Several processes, on several nodes, use one cache.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from genai_runtime.fetch.digests import FileRecord, Hashing, digest_of, hash_file
from genai_runtime.fetch.errors import storage_full
from genai_runtime.fetch.room import unwritable

_log = structlog.get_logger("genai_runtime.fetch")


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What a source resolved to. `uri` and `endpoint` are for people; the digest names the folder."""

    uri: str
    endpoint: str
    revision: str
    digest: str


class Cache:
    """A folder; made where it is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, digest: str) -> Path:
        """Where that content is, if it is there."""
        return self.root / "models" / digest

    def partial(self, key: str) -> Path:
        """For the holder of the source's lock alone."""
        return self.root / "partial" / key

    @contextmanager
    def locked(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Alone with one source; `waiting` is called when another process is. Raises `ModelUnusable`.

        A cache that cannot be written needs no lock: nobody changes it from here.
        """
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / "locks" / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
        except OSError as error:
            if not self.root.is_dir():
                raise unwritable(self.root, error) from None
            yield
            return
        try:
            _lock(self.root, handle, waiting)
            yield
        finally:
            os.close(handle)

    def source(self, key: str) -> SourceRecord | None:
        """What the source resolved to earlier; a record that cannot be read is none."""
        path = self.root / "sources" / f"{key}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return SourceRecord(**{name: str(found[name]) for name in SourceRecord.__slots__})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            _log.warning("this record cannot be read, and is not used", file=str(path))
            return None

    def record_source(self, key: str, record: SourceRecord) -> None:
        """Raises `ModelUnusable`."""
        self._write_json(self.root / "sources" / f"{key}.json", asdict(record))

    def records(self, digest: str) -> list[FileRecord] | None:
        """The files of a folder as they were when it was complete; None where no list of that digest is there."""
        try:
            files = json.loads((self.root / "manifests" / f"{digest}.json").read_bytes())["files"]
            found = [FileRecord(str(each["name"]), int(each["size"]), str(each["sha256"])) for each in files]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if digest_of(found) == digest else None

    def problem(self, digest: str, records: list[FileRecord], passed: Callable[[int], None]) -> str:
        """Which file of a complete folder is not what it was, all bytes read; empty when all are. `passed`: bytes."""
        folder = self.folder(digest)
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
        extra = sorted(there - {each.name for each in records})
        if extra:
            return f"{extra[0]} does not belong there"
        for each in records:
            problem = _difference(folder / each.name, each, passed)
            if problem:
                return f"{each.name} {problem}"
        return ""

    def install(self, complete: Path, records: list[FileRecord]) -> str:
        """Make a folder of `partial` one of `models`; returns its digest. Raises `ModelUnusable`.

        Where that content is already, from another source, and is whole, it stays: pods may be reading it.
        """
        digest = digest_of(records)
        target = self.folder(digest)
        self._write_json(self.root / "manifests" / f"{digest}.json", {"files": [asdict(each) for each in records]})
        try:
            if target.exists() and not self.problem(digest, records, lambda _: None):
                shutil.rmtree(complete, ignore_errors=True)
                return digest
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_folders(complete)
            self._put_aside(target)
            complete.rename(target)
            _sync(target.parent)
        except OSError as error:
            raise unwritable(target, error) from None
        return digest

    def discard(self, digest: str) -> None:
        """Take a damaged folder out; who has it open keeps reading. Raises `ModelUnusable`."""
        try:
            self._put_aside(self.folder(digest))
        except OSError as error:
            raise unwritable(self.folder(digest), error) from None

    def _put_aside(self, folder: Path) -> None:
        if not folder.exists():
            return
        aside = self.root / "partial" / f"{folder.name}.{os.getpid()}.old"
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _write_json(self, path: Path, content: dict[str, Any]) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(path, error) from None


def _difference(path: Path, record: FileRecord, passed: Callable[[int], None]) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return "is missing"
        if path.stat().st_size != record.size:
            return f"has {path.stat().st_size} bytes, not {record.size}"
        hashing = Hashing()
        hash_file(path, hashing, passed)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if hashing.sha256 == record.sha256 else "has other bytes than were fetched"


def _lock(root: Path, handle: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        raise storage_full(
            f"{root} has no file locks ({error.strerror}), so that pods could fetch into it at the same time; use a "
            "volume that has them (most do; an NFS export needs version 4)"
        ) from None


def _sync_folders(top: Path) -> None:
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
