"""Finds configurations on the disk: a file, a model's folder, or a repository in Triton's layout. The only reader."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genai_operator.convert.errors import CannotConvert
from genai_operator.convert.folder import ModelFolder
from genai_operator.convert.parse import MAX_BYTES

FILE = "config.pbtxt"
STANDARD_INPUT = "-"
_MODEL = "genai_config.json"
# Folder names become numbers; Triton's versions are 64 bits wide.
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration as it was found; a model without one has an empty one, as Triton completes it itself."""

    folder: ModelFolder
    content: bytes


def find_sources(given: str) -> list[Source]:
    """What a path names, a repository's models by name.

    Raises:
        CannotConvert: there is nothing, or it cannot be read.
    """
    if given == STANDARD_INPUT:
        return [Source(ModelFolder("standard input"), sys.stdin.buffer.read(MAX_BYTES + 1))]
    path = Path(given)
    try:
        return _found(path)
    except OSError as error:
        raise CannotConvert(f"{error.filename or path}: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the path
        raise CannotConvert(f"{given!a}: {error}") from error


def _found(path: Path) -> list[Source]:
    if not path.is_dir():
        return [_file(path)]
    if _is_model(path):
        return [_model(path)]
    models = [_model(each) for each in sorted(path.iterdir()) if each.is_dir() and _is_model(each)]
    if not models:
        raise CannotConvert(
            f"{path}: neither a model's folder, with {FILE} or with versions such as 1/, nor a repository of such"
        )
    return models


def _is_model(folder: Path) -> bool:
    return (folder / FILE).is_file() or any(True for _ in _versions(folder))


def _model(folder: Path) -> Source:
    config = folder / FILE
    return _file(config) if config.is_file() else Source(_described(folder, str(folder)), b"")


def _file(path: Path) -> Source:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if path.name != FILE:
        return Source(ModelFolder(str(path)), content)
    return Source(_described(path.parent, str(path)), content)


def _described(folder: Path, origin: str) -> ModelFolder:
    versions = dict(_versions(folder))
    complete = frozenset(number for number, version in versions.items() if (version / _MODEL).is_file())
    # Of `.` the name is empty before it is resolved.
    return ModelFolder(origin, folder.resolve().name, tuple(sorted(versions)), complete)


def _versions(folder: Path) -> Iterator[tuple[int, Path]]:
    for each in folder.iterdir():
        # As Triton: other names, and those that begin with a zero, are no versions.
        number = each.name.isascii() and each.name.isdigit() and each.name[0] != "0" and len(each.name) <= _MOST_DIGITS
        if number and each.is_dir():
            yield int(each.name), each
