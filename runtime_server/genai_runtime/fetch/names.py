"""Which names the files of a listing may have: a server names them, and is not trusted.

A name is a path inside the model's folder, its parts separated by slashes. What one part may be is `models/names.py`'s.
"""

from collections.abc import Iterable

from genai_runtime.fetch.errors import invalid, too_large
from genai_runtime.models.defects import shown
from genai_runtime.models.limits import Limits
from genai_runtime.models.names import collision_key, name_fault


def check_names(names: Iterable[str], source: str, limits: Limits) -> None:
    """Raises `ModelUnusable` where a name is not fit, or two are in each other's way."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        fault = next((found for part in parts if (found := name_fault(part, limits))), "")
        if not fault and (len(parts) > limits.depth + 1 or len(name.encode()) > limits.path_bytes):
            fault = f"is longer than {limits.path_bytes} bytes, or lies deeper than {limits.depth} folders"
        if fault:
            raise invalid(f"{source}: the name {shown(name)} {fault}; nothing was fetched")
        key = collision_key(name)
        if key in seen:
            raise invalid(f"{source} has both {shown(seen[key])} and {shown(name)}: keep one of them")
        seen[key] = name
        folders |= {collision_key("/".join(parts[:end])): name for end in range(1, len(parts))}
        if len(seen) > limits.files:
            raise too_large(f"{source} has more than {limits.files} files; keep only those of one model there")
    both = next((folders[key] for key in folders if key in seen), None)
    if both is not None:
        raise invalid(f"{source} has a file in the way of {shown(both)}")
