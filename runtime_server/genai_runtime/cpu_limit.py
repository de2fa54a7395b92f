"""How many threads the engine gets when nobody says: the CPU limit of the pod, never the cores of the node.

Reads cgroup v2 and v1, with and without a cgroup namespace. Knows nothing of ONNX Runtime or of settings.
"""

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable_cpus(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int:
    """The cgroup's CPU limit rounded up, and never more CPUs than the process may run on; 1 at least."""
    allowed = len(os.sched_getaffinity(0))
    limit = cgroup_cpu_limit(root, own)
    return max(1, allowed if limit is None else min(allowed, math.ceil(limit)))


def cgroup_cpu_limit(root: Path, own: Path) -> float | None:
    """The smallest CPU limit of this process's cgroup and its parents, in CPUs; None without a limit."""
    limits = [limit for folder in _v2_folders(root, own) if (limit := _v2_limit(folder / "cpu.max")) is not None]
    limits += [limit for folder in _v1_folders(root, own) if (limit := _v1_limit(folder)) is not None]
    return min(limits, default=None)


def _v2_folders(root: Path, own: Path) -> list[Path]:
    path = next((path for controllers, path in _own_paths(own) if not controllers), None)
    return _with_parents(root, path)


def _v1_folders(root: Path, own: Path) -> list[Path]:
    path = next((path for controllers, path in _own_paths(own) if "cpu" in controllers.split(",")), None)
    return [folder for mount in _V1_MOUNTS for folder in _with_parents(root / mount, path)]


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


def _v2_limit(file: Path) -> float | None:
    try:
        quota, period = file.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1_limit(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
