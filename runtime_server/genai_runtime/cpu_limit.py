"""What CPUs this process has, by its cgroup: how many threads it can use, whether they may spin, where they stay.

The CPU limit of the pod counts, never the cores of the node. To spin is to wait busily. Knows nothing of ONNX Runtime
or of settings.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP, v1_folders, v2_folders

_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


@dataclass(frozen=True, slots=True)
class CpuShare:
    """What a process has of the node's CPUs. `limit` is the cgroup's, None without one; `node` counts the node's."""

    limit: float | None
    allowed: tuple[int, ...]
    node: int

    def exclusive(self, guaranteed: int) -> tuple[int, ...]:
        """The CPUs that nobody else has; empty if there are none.

        The kubelet's static CPU manager gives such to a container with as many `guaranteed` CPUs (0: a container that
        gets none). It may take the cgroup's limit away from it. Without `guaranteed`, the CPUs that are left over for
        all others could look the same.
        """
        if len(self.allowed) == guaranteed < self.node and self.limit in (None, guaranteed):
            return self.allowed
        return ()

    def may_spin(self, threads: int, guaranteed: int) -> bool:
        """Whether so many threads may wait busily: each has a CPU for as long as it likes.

        With a limit such as 1.5 CPUs, waiting uses up what is then missing for work, until the kernel's next period;
        without a limit, it takes CPUs from other pods.
        """
        limit = self.limit or len(self.exclusive(guaranteed))
        return limit >= threads and limit == int(limit) and len(self.allowed) >= threads


def cpu_share(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> CpuShare:
    """This process's."""
    return CpuShare(cgroup_cpu_limit(root, own), tuple(sorted(os.sched_getaffinity(0))), os.cpu_count() or 1)


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
