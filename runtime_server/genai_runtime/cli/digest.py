"""`genai-runtime digest`: the digest that names a model folder, and whether it is the one that is wanted.

It runs before a server on a folder that nobody fetched, and by hand for the value of `spec.model.sha256`. Its result is
one line of JSON on stdout and in the termination log: `{"digest", "bytes", "files"}`. What the digest is, is
`fetch/digests.py`'s.
"""

from pathlib import Path
from typing import Annotated

import structlog
import typer

from genai_runtime.cli import result_line
from genai_runtime.cli.serving import locate
from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.digests import FileRecord, Hashing, digest_of, hash_file
from genai_runtime.fetch.errors import checksum_mismatch, invalid, not_found
from genai_runtime.front import logs

_log = structlog.get_logger("genai_runtime.digest")


def digest(
    model: Annotated[str, typer.Argument(metavar="DIR|builtin://NAME", help="The model folder.")],
    sha256: Annotated[str, typer.Option(metavar="HEX", help="The digest that it must have.")] = "",
) -> None:
    """Print the digest of a model folder; fail if it is not the wanted one."""
    logs.configure("info")
    try:
        folder, _ = locate(model)
        records = _records(folder)
        found = digest_of(records)
        if sha256 and found != sha256:
            raise checksum_mismatch(f"the digest of {folder} is {found}, but spec.model.sha256 is {sha256}")
    except ModelUnusable as error:
        logs.last_words(error.reason, error.message)
        _log.error("this is not the model that is wanted", reason=error.reason, error=error.message)
        raise
    result_line.tell({"digest": found, "bytes": sum(each.size for each in records), "files": len(records)})


def _records(folder: Path) -> list[FileRecord]:
    """All files, read to their ends. Raises `ModelUnusable`."""
    if not folder.is_dir():
        raise not_found(f"there is no folder {folder}; check the model's source")
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            # What is behind it may be outside, and could change unseen.
            raise invalid(f"{name} is a link, and a folder with links has no digest; copy what it points to")
        if path.is_dir():
            continue
        found.append(_record(path, name))
    if not found:
        raise not_found(f"the folder {folder} is empty; check the model's source")
    return found


def _record(path: Path, name: str) -> FileRecord:
    if not path.is_file():
        raise invalid(f"{name} is neither a file nor a folder")
    hashing, size = Hashing(), path.stat().st_size
    try:
        hash_file(path, hashing, lambda _: None)
    except OSError as error:
        raise invalid(f"{name} cannot be read: {error.strerror}") from None
    return FileRecord(name, size, hashing.sha256)
