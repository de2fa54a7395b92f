"""Which names a file of a model may have: whoever names it is a server or an archive, and is not trusted.

A name is a path inside the model's folder, its parts separated by slashes.
"""

from collections.abc import Iterable

from genai_runtime.fetch.errors import invalid, too_large

MAX_FILES = 10_000
_MAX_NAME = 1024
_MAX_PART = 255
_MAX_DEPTH = 16


def checked(name: str, where: str) -> str:
    """`name` itself. Raises `ModelUnusable`; `where` says who gave it."""
    parts = name.split("/")
    problem = ""
    if not name or "" in parts or "." in parts or ".." in parts:
        problem = "is no path inside a folder"
    elif "\\" in name or not name.isprintable():
        problem = "holds a backslash or characters that cannot be printed"
    elif len(parts) > _MAX_DEPTH or any(len(part.encode()) > _MAX_PART for part in parts) or len(name) > _MAX_NAME:
        problem = f"is too long, or deeper than {_MAX_DEPTH} folders"
    if problem:
        raise invalid(f"{where} has a file named {name[:_MAX_NAME]!r}, which {problem}; nothing was fetched")
    return name


def check_all(names: Iterable[str], where: str) -> None:
    """Every name by itself, and that no two are in each other's way. Raises `ModelUnusable`."""
    seen: set[str] = set()
    for name in names:
        checked(name, where)
        if name in seen:
            raise invalid(f"{where} has two files named {name!r}")
        seen.add(name)
        if len(seen) > MAX_FILES:
            raise too_large(f"{where} has more than {MAX_FILES} files; is it a single model?")
    for name in seen:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise invalid(f"{where} has both a file and a folder named {'/'.join(parts[:depth])!r}")
