"""The latency benchmark's CPU limit: a control group with a quota where one can be made, else fewer CPUs."""

import os
from pathlib import Path

import pytest

from bench.latency.quota import limited
from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP
from genai_runtime.cpu_limit import cgroup_cpu_limit, usable_cpus


def hierarchy(root: Path, files: dict[str, str]) -> None:
    """Files as the kernel shows them; a folder's own are not made by `mkdir` here, but written."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_limit_of_this_machine_is_what_a_pod_would_read() -> None:
    """Whatever this machine permits: inside there is one CPU to use, afterwards as many as before."""
    before = (usable_cpus(), cgroup_cpu_limit(CGROUP_ROOT, OWN_CGROUP), OWN_CGROUP.read_text())
    with limited(1) as by:
        assert usable_cpus() == 1
        if by != "CPU affinity":
            assert cgroup_cpu_limit(CGROUP_ROOT, OWN_CGROUP) == 1.0
    assert (usable_cpus(), cgroup_cpu_limit(CGROUP_ROOT, OWN_CGROUP), OWN_CGROUP.read_text()) == before


def test_without_a_place_for_a_group_there_are_fewer_cpus(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/session\n")
    hierarchy(tmp_path / "root", {"session/cgroup.subtree_control": "", "cgroup.subtree_control": "memory pids"})
    before = os.sched_getaffinity(0)
    with limited(1, tmp_path / "root", own) as by:
        assert (by, len(os.sched_getaffinity(0))) == ("CPU affinity", 1)
    assert os.sched_getaffinity(0) == before


def test_the_group_is_beside_the_own_one_in_the_unified_hierarchy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, root, group = tmp_path / "own", tmp_path / "root", f"slice/genai-bench-{os.getpid()}"
    own.write_text("0::/slice/session\n")
    hierarchy(root, {"slice/session/cgroup.procs": "", "slice/cgroup.subtree_control": "cpu memory"})
    removed: list[str] = []
    monkeypatch.setattr(Path, "rmdir", lambda path: removed.append(str(path.relative_to(root))))
    with limited(2, root, own) as by:
        assert by == "cgroup v2 quota"
        assert (root / group / "cpu.max").read_text() == "200000 100000"
        assert (root / group / "cgroup.procs").read_text() == str(os.getpid())
    assert (root / "slice/session/cgroup.procs").read_text() == str(os.getpid())
    assert removed == [group]
