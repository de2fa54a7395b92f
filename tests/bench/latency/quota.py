"""A CPU limit as a pod has one: a control group with a quota, around this process and what it starts.

Made where this process may make one: beside it in the unified hierarchy, or below it in version 1's `cpu`. Elsewhere
the CPUs that may be used are as many, which limits as much and looks different: no thread is ever held back.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP, v1_folders, v2_folders

_PERIOD_US = 100_000
_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
_V2_ROOTS = ("", "unified")
_MEMBERS = "cgroup.procs"  # takes a process's id, and with it all its threads
_REMOVAL_SECONDS = 10.0  # what was just ended stays in its group until the kernel has buried it


@contextmanager
def limited(cpus: int, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> Iterator[str]:
    """This process and what it starts have so many CPUs; gives what limits them, in words."""
    group = _group(cpus, root, own)
    if group is None:
        with _affinity(cpus):
            yield "CPU affinity"
        return
    folder, home, version = group
    try:
        yield f"cgroup v{version} quota"
    finally:
        (home / _MEMBERS).write_text(str(os.getpid()))
        _remove(folder)


def _group(cpus: int, root: Path, own: Path) -> tuple[Path, Path, int] | None:
    """(the new group with the quota, the one that this process was in, the cgroup version); None: none can be made."""
    name, quota = f"genai-bench-{os.getpid()}", cpus * _PERIOD_US
    for mount in _V2_ROOTS:
        path = [each for each in v2_folders(root / mount, own) if each.is_dir()]
        for parent in reversed(path):
            if "cpu" in _words(parent / "cgroup.subtree_control"):
                files = {"cpu.max": f"{quota} {_PERIOD_US}"}
                if (made := _made(parent / name, files)) is not None:
                    return made, path[-1], 2
    for folder in reversed([each for each in v1_folders(root, own, "cpu", _V1_MOUNTS) if each.is_dir()]):
        files = {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(quota)}
        made = _made(folder / name, files)
        return None if made is None else (made, folder, 1)
    return None


def _made(folder: Path, files: dict[str, str]) -> Path | None:
    """The group, with these files and this process in it; None where that is not permitted."""
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        for name, text in {**files, _MEMBERS: str(os.getpid())}.items():
            (folder / name).write_text(text)
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        return None
    return folder


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def _affinity(cpus: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cpus])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
