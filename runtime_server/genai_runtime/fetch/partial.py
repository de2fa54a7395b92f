"""What an interrupted fetch of one source left, and which of it the next one may use. Nothing is fetched here."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from genai_runtime.fetch.room import unwritable
from genai_runtime.fetch.source import Listing, RemoteFile


class Partial:
    """What was fetched so far of one source. An archive is in `archives`, what came out of it in `unpacked`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files = root / "files"
        self.unpacked = root / "unpacked"
        self._versions = root / "versions.json"

    def path(self, file: RemoteFile) -> Path:
        """Where the file itself grows."""
        return (self._root / "archives" if file.archive else self.files) / file.name

    def prepare(self, listing: Listing) -> int:
        """Removes what is of another version than `listing`; returns how many bytes are there. Raises `ModelUnusable`.

        The versions are written before the first byte is, so that bytes of an unknown version are never kept.
        """
        wanted = {self.path(each): each.version for each in (*listing.files, *listing.others)}
        before = self._read()
        there = 0
        try:
            for path in [each for each in self._root.rglob("*") if each.is_file() and each != self._versions]:
                version = wanted.get(path)
                if not version or before.get(str(path.relative_to(self._root))) != version:
                    path.unlink()
                else:
                    there += path.stat().st_size
            self._root.mkdir(parents=True, exist_ok=True)
            versions = {str(path.relative_to(self._root)): version for path, version in wanted.items()}
            draft = self._versions.with_suffix(".new")
            draft.write_text(json.dumps(versions), encoding="utf-8")
            draft.replace(self._versions)
            _remove_empty_folders(self.files)
        except OSError as error:
            raise unwritable(self._root, error) from None
        return there

    def keep_only(self, names: set[str]) -> None:
        """Of `files`: what an earlier run had fetched and is wanted no more must not enter the cache."""
        for path in [each for each in self.files.rglob("*") if each.is_file()]:
            if path.relative_to(self.files).as_posix() not in names:
                path.unlink()
        _remove_empty_folders(self.files)

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _read(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            found = json.loads(self._versions.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return {str(name): str(version) for name, version in found.items()}
        return {}


def _remove_empty_folders(top: Path) -> None:
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            folder.rmdir()
