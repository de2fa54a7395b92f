"""Downloaded archives become one folder. What may come out of an archive is `models/archive.py`'s.

Layers of an image lie over each other: a later archive's file takes an earlier one's place.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.errors import invalid, too_large
from genai_runtime.fetch.partial import Partial
from genai_runtime.fetch.room import Room
from genai_runtime.fetch.source import Listing
from genai_runtime.models.archive import unpack
from genai_runtime.models.defects import Code
from genai_runtime.models.limits import Limits

_REMOVED = ".wh."


def unpacked(listing: Listing, partial: Partial, source: str, room: Room, limits: Limits) -> Path:
    """The folder of what a listing's archives hold, and of the files beside them. Raises `ModelUnusable`."""
    folder = partial.unpacked
    with room.writing(0):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _unpack_all([partial.path(each) for each in listing.files if each.archive], folder, source, room, limits)
    for each in listing.files:
        if not each.archive:
            target = folder / each.name
            with room.writing(each.size or 0):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(partial.path(each), target)
    return _top_folder(folder)


def _unpack_all(archives: Sequence[Path], folder: Path, source: str, room: Room, limits: Limits) -> None:
    layer = folder.with_name(f"{folder.name}.layer")
    for archive in archives:
        with room.writing(archive.stat().st_size):
            shutil.rmtree(layer, ignore_errors=True)
            layer.mkdir(parents=True)
            _unpack(archive, layer, source, limits)
            _lay_over(layer, folder, source)
            shutil.rmtree(layer)


def _top_folder(folder: Path) -> Path:
    """The folder itself, or the one folder in it that everything is in, as archives are often made."""
    entries = list(folder.iterdir())
    while len(entries) == 1 and entries[0].is_dir():
        folder = entries[0]
        entries = list(folder.iterdir())
    return folder


def _unpack(archive: Path, layer: Path, source: str, limits: Limits) -> None:
    try:
        unpack(archive, layer, limits)
    except ModelUnusable as error:
        if error.message.startswith(Code.TOO_LARGE):
            raise too_large(f"{source}: {error.message}; or raise spec.model.maxBytes") from None
        raise ModelUnusable(error.reason, f"{source}: {error.message}") from None


def _lay_over(layer: Path, folder: Path, source: str) -> None:
    for path in sorted(layer.rglob("*")):
        if path.is_dir():
            continue
        name = path.relative_to(layer)
        if path.name.startswith(_REMOVED):
            raise invalid(f"{source}: a layer takes files of an earlier one away; make the image FROM scratch")
        target = folder / name
        if target.is_dir() or any((folder / parent).is_file() for parent in name.parents):
            raise invalid(f"{source}: a layer has both a file and a folder at {str(name)!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
