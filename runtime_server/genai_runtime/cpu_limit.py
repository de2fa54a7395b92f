"""How many threads the engine gets when nobody says: the CPU limit of the pod, never the cores of the node.

Knows nothing of ONNX Runtime or of settings.
"""

import math
import os
from pathlib import Path

from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP, v1_folders, v2_folders

_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable_cpus(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int:
    """The cgroup's CPU limit rounded up, and never more CPUs than the process may run on; 1 at least."""
    allowed = len(os.sched_getaffinity(0))
    limit = cgroup_cpu_limit(root, own)
    return max(1, allowed if limit is None else min(allowed, math.ceil(limit)))


def cgroup_cpu_limit(root: Path, own: Path) -> float | None:
    """The smallest CPU limit of this process's cgroup and its parents, in CPUs; None without a limit."""
    limits = [limit for folder in v2_folders(root, own) if (limit := _v2_limit(folder / "cpu.max")) is not None]
    limits += [limit for folder in v1_folders(root, own, "cpu", _V1_MOUNTS) if (limit := _v1_limit(folder)) is not None]
    return min(limits, default=None)


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
