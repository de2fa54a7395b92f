"""What a source is: somewhere that lists the files of a model and gives their bytes from any offset on.

Sources know a protocol each and nothing of caches, retries or progress; those know nothing of protocols.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NoReturn, Protocol

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its source knows it.

    `name` is where it goes inside the folder. `version` changes whenever the bytes do; empty: nobody can tell, so what
    was fetched before an interruption cannot be used. `checks`: digests that the source states, (algorithm, hex), see
    `digests.py`. `archive`: `tar` or `zip` where what is in it is wanted and not the file itself.
    """

    name: str
    size: int | None
    version: str
    checks: tuple[tuple[str, str], ...] = ()
    archive: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of one state of the source. `revision` names that state: a commit, a digest, or empty.

    `others` are not fetched unless one of the graphs takes its weights from them.
    """

    revision: str
    files: tuple[RemoteFile, ...]
    others: tuple[RemoteFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes from `start` on, which is the offset that was asked for, or 0 where the server gives only all of them."""

    start: int
    chunks: Iterator[bytes]


class Source(Protocol):
    """Errors: `Passing` where another try may help, `SourceChanged` where the listing is out of date, else
    `ModelUnusable`."""

    def listing(self) -> Listing:
        """Ask which files there are."""
        ...

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Body]:
        """Ask for a file's bytes from `offset` on."""
        ...

    def close(self) -> None:
        """End its connections."""
        ...


class Nowhere:
    """The source of what is in the cache or nowhere."""

    def listing(self) -> NoReturn:
        """Nobody asks."""
        raise NotImplementedError

    def read(self, file: RemoteFile, offset: int) -> NoReturn:
        """Nobody asks."""
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to end."""
