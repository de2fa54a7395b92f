"""The LoRA adapters of a source: what of its files is fetched, and whether what came is one.

Everything else about a fetch is as for models.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.errors import invalid, not_found
from genai_runtime.fetch.source import Body, Listing, RemoteFile, Source
from genai_runtime.models.adapter_file import SUFFIX, NotAnAdapter, replaced_weights


class AdapterFiles:
    """A source without what is no adapter. `path`: one file, or a folder; empty: all of it."""

    def __init__(self, source: Source, uri: str, path: str) -> None:
        self._source, self._uri, self._path = source, uri, path

    def listing(self) -> Listing:
        """See `Source`. What an archive holds is seen when it is unpacked."""
        found = self._source.listing()
        files = tuple(each for each in found.files if each.archive or self._wanted(each.name))
        if not files:
            where = f" at {self._path}" if self._path else ""
            raise not_found(f"{self._uri} has no file *{SUFFIX}{where}; correct the URI or the path")
        return Listing(found.revision, files)

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Body]:
        """See `Source`."""
        return self._source.read(file, offset)

    def close(self) -> None:
        """See `Source`."""
        self._source.close()

    def _wanted(self, name: str) -> bool:
        inside = not self._path or name == self._path or name.startswith(f"{self._path}/")
        return inside and name.endswith(SUFFIX)


def inspection(uri: str) -> Callable[[Path], None]:
    """What looks at a folder that came; it raises `ModelUnusable`."""

    def inspect(folder: Path) -> None:
        found = sorted(folder.rglob(f"*{SUFFIX}"))
        if not found:
            raise not_found(f"{uri} has no file *{SUFFIX}; correct the URI")
        for each in found:
            _look_at(each, uri)

    return inspect


def _look_at(path: Path, uri: str) -> None:
    if path.is_symlink() or not path.is_file():
        raise invalid(f"{uri}: {path.name} is no file; put the adapter itself there")
    try:
        replaced_weights(path)
    except NotAnAdapter as error:
        raise ModelUnusable("ModelInvalid", f"{uri}: {path.name} {error}; export it again") from None
