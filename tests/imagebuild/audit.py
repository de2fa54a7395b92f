"""What is inside an image archive: its size, and whether something is in it that has no place in a running pod."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

FORBIDDEN = re.compile(
    r"(^|/)(pip|setuptools|ensurepip)(/|$|-[\d.]+\.dist-info)"
    r"|(^|/)s?bin/(pip|gcc|g\+\+|cc|clang|ld|make|uv|apt|apt-get)([\d.]*|-[\d.]+)$"
)
"""Installers and compilers, by their paths in the file system."""


@dataclass(frozen=True)
class Contents:
    """`size`: of all layers, uncompressed, in bytes. `user`: as the image's configuration names it."""

    size: int
    files: frozenset[str]
    user: str
    environment: frozenset[str]


def read(archive: Path) -> Contents:
    """Reads a docker-archive and lays its layers over each other, deletions included."""
    files: set[str] = set()
    size = 0
    with tarfile.open(archive) as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        config = json.loads(_member(tar, manifest["Config"]))["config"]
        for name in manifest["Layers"]:
            size += tar.getmember(name).size
            with tarfile.open(fileobj=tar.extractfile(name), mode="r:*") as layer:
                for member in layer:
                    _apply(files, member.name.removeprefix("./"))
    return Contents(size, frozenset(files), config.get("User", ""), frozenset(config.get("Env") or ()))


def complaints(contents: Contents, limit_mb: int) -> list[str]:
    """Why the image may not be used; empty when it may."""
    found = []
    if contents.size > limit_mb * 10**6:
        found.append(f"{contents.size / 10**6:.0f} MB is more than the limit of {limit_mb} MB")
    tools = sorted(path for path in contents.files if FORBIDDEN.search(path))
    if tools:
        found.append(f"contains an installer or compiler: {', '.join(tools[:5])}")
    if contents.user.split(":")[0] in ("", "0", "root"):
        found.append(f"runs as {contents.user or 'root'}")
    return found


def _apply(files: set[str], path: str) -> None:
    folder, _, name = path.rpartition("/")
    if name == ".wh..wh..opq":
        _remove(files, folder, keep_itself=True)
    elif name.startswith(".wh."):
        _remove(files, f"{folder}/{name[4:]}".lstrip("/"), keep_itself=False)
    elif path:
        files.add(path)


def _remove(files: set[str], path: str, *, keep_itself: bool) -> None:
    files.difference_update([one for one in files if one.startswith(f"{path}/") or (one == path and not keep_itself)])


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    if content is None:
        raise tarfile.ReadError(f"{name} is no file")
    with content:
        return content.read()
