"""The control groups that this process is in, from its own up: where their files are, in v2 and v1.

With and without a cgroup namespace. What the files say is for who asks: `cpu_limit.py`, `memory_limit.py`.
"""

from collections.abc import Sequence
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def v2_folders(root: Path, own: Path) -> list[Path]:
    """Folders of the unified hierarchy that may limit this process."""
    path = next((path for controllers, path in _own_paths(own) if not controllers), None)
    return _with_parents(root, path)


def v1_folders(root: Path, own: Path, controller: str, mounts: Sequence[str]) -> list[Path]:
    """Folders of one controller's hierarchy that may limit this process; `mounts` are its possible names."""
    path = next((path for controllers, path in _own_paths(own) if controller in controllers.split(",")), None)
    return [folder for mount in mounts for folder in _with_parents(root / mount, path)]


def _own_paths(own: Path) -> list[tuple[str, str]]:
    """(controllers, path) of each line "ID:controllers:path"."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    return [(parts[1], parts[2]) for line in lines if len(parts := line.split(":", 2)) == 3]


def _with_parents(mount: Path, path: str | None) -> list[Path]:
    """The mount itself (what a cgroup namespace shows), and each folder from it down to `path`."""
    folders = [mount]
    for part in (path or "").split("/"):
        if part in ("", ".", ".."):
            continue
        folders.append(folders[-1] / part)
    return folders
