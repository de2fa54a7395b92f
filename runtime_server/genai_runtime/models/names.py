"""Names inside a model folder: which are fit for every reader, and which two are the same to some of them."""

import re
import unicodedata
from pathlib import PurePosixPath

from genai_runtime.models.limits import Limits

# Control and format characters (a text may be shown backwards), halves of characters, private ones, line separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_LIBRARY = re.compile(r"\.(so(\.[0-9]+)*|dll|dylib)$", re.IGNORECASE)


def name_fault(name: str, limits: Limits) -> str:
    """What is wrong with one part of a path, to follow "the name … "; "" if nothing is."""
    if name in ("", ".", ".."):
        return "leads out of the folder, or nowhere"
    if "/" in name or "\\" in name:
        return "has a separator in it"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        return "has characters in it that cannot be printed"
    if len(name.encode()) > limits.name_bytes:
        return f"is longer than {limits.name_bytes} bytes"
    return ""


def collision_key(name: str) -> str:
    """Equal for names that a file system without cases, or with another spelling of accents, takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_inside(name: str) -> bool:
    """Whether a file's name, as written in another file, stays below the folder by its spelling alone."""
    path = PurePosixPath(name)
    windows = len(name) > 1 and name[1] == ":"
    harmless = name.isprintable() and "\\" not in name and not windows
    return bool(name.strip("./")) and harmless and not path.is_absolute() and ".." not in path.parts


def is_library(name: str) -> bool:
    """Whether a file's name is one of code that a process can load."""
    return _LIBRARY.search(name) is not None
