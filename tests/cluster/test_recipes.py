"""The pages of docs/recipes, as a reader follows them: what they show is what is seen, and what they did is undone."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kubectl_genai import PROGRAM
from support.live_cluster import LiveCluster
from support.model_resource import GROUP, ModelAccess
from support.recipes import mismatch, steps
from support.terminal import Terminal

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "recipes"
INDEX = FOLDER / "README.md"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)


@pytest.fixture
def terminal(cluster: LiveCluster, namespace: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal with the examples, kubectl and `kubectl genai`, whose context has a namespace of its own."""
    for name in ("folder", "records", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder" / "examples").symlink_to(ROOT / "examples")
    plugin = tmp_path / "bin" / "kubectl-genai"
    plugin.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n', encoding="utf-8")
    plugin.chmod(0o755)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubectl("config", "view", "--raw", "--flatten"), encoding="utf-8")
    cluster.kubectl("config", "set-context", "--current", f"--namespace={namespace}", f"--kubeconfig={kubeconfig}")
    of_cluster = cluster.environment()
    path = f"{plugin.parent}:{Path(sys.executable).parent}:{of_cluster['PATH']}"
    environment = {**of_cluster, "KUBECONFIG": str(kubeconfig), "PATH": path}
    with Terminal(tmp_path / "folder", tmp_path / "records", environment) as made:
        yield made


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_is_what_its_reader_sees(page: Path, terminal: Terminal, cluster: LiveCluster, namespace: str) -> None:
    for path in (INDEX, page):
        follow(path, terminal)
    model = ModelAccess(cluster, "hello", namespace)
    model.wait_ready()
    annotations = model.get()["metadata"].get("annotations", {})
    assert [key for key in annotations if key.startswith(GROUP)] == []
    assert "flightRecorder" not in model.get()["spec"]
    assert cluster.find("GenAIProfile", namespace) == []


def follow(page: Path, terminal: Terminal) -> None:
    """Types the page's commands and compares what is seen with what it shows."""
    for step in steps(page.read_text(encoding="utf-8")):
        ended = terminal.run(step.commands)
        where = f"{page.name}, line {step.line}"
        assert ended.code == step.code, f"{where}: ended with {ended.code}, not {step.code}:\n{ended.seen}"
        if step.shown is not None:
            why = mismatch(step.shown, ended.seen, step.commands)
            assert not why, f"{where}: {why}"
