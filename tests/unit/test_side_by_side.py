"""Two processes that share the tests out: the cluster's stay in one of them, in their order, and a failed one runs
again."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEST = """
import os, pathlib
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(n, request):
    with pathlib.Path(os.environ["SEEN"]).open("a") as seen:
        seen.write(f"{os.environ['PYTEST_XDIST_WORKER']} {request.path.parent.name} {request.path.stem} {n}\\n")
    if (request.path.stem, n) == ("test_b", 2):
        told = pathlib.Path(os.environ["SEEN"] + ".failed")
        first = not told.exists()
        told.touch()
        assert not first
"""


def test_the_clusters_tests_stay_in_one_process_and_in_order(tmp_path: Path) -> None:
    for name in ("cluster/test_a", "cluster/test_b", "cluster/local/test_c", "unit/test_d", "unit/test_e"):
        path = tmp_path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEST, encoding="utf-8")
    (tmp_path / "tests" / "conftest.py").write_text((TESTS / "conftest.py").read_text(), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text((TESTS.parent / "pyproject.toml").read_text(), encoding="utf-8")
    outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "-n", "2", "--no-loadscope-reorder", "--reruns", "1"],
        cwd=tmp_path,
        env={**outer, "PYTHONPATH": str(TESTS), "SEEN": str(tmp_path / "seen")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"=+ 20 passed, 1 rerun in ", done.stdout.splitlines()[-1])

    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    processes = defaultdict(list)
    for process, folder, file, number in seen:
        processes["cluster" if folder in ("cluster", "local") else file].append((process, file, int(number)))
    assert sorted(processes) == ["cluster", "test_d", "test_e"]
    for ran in processes.values():
        assert len({process for process, _, _ in ran}) == 1
    order = [(file, number) for _, file, number in processes["cluster"]]
    wanted = [(file, number) for file in ("test_c", "test_a", "test_b") for number in range(4)]
    wanted.insert(wanted.index(("test_b", 2)), ("test_b", 2))  # the one that failed once
    assert order == wanted
