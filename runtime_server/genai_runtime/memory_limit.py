"""How much memory this process may use, with its children: the pod's limit, or else the machine's memory."""

from pathlib import Path

from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP, v1_folders, v2_folders

_MEMINFO = Path("/proc/meminfo")


def memory_limit(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Bytes. Never more than the machine has: a cgroup without a limit says 2**63."""
    files = [folder / "memory.max" for folder in v2_folders(root, own)]
    files += [folder / "memory.limit_in_bytes" for folder in v1_folders(root, own, "memory", ("memory",))]
    limits = [limit for file in files if (limit := _bytes(file)) is not None]
    return min([_machine(meminfo), *limits])


def _bytes(file: Path) -> int | None:
    try:
        limit = int(file.read_text())  # v2 says "max" where there is none
    except (OSError, ValueError):
        return None
    return limit if limit > 0 else None


def _machine(meminfo: Path) -> int:
    for line in meminfo.read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{meminfo} does not tell how much memory there is")
