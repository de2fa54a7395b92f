"""kubectl genai as one file: it needs no installed package, and kubectl finds it on the PATH."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kubectl_genai import KubectlGenai, end, one_file
from support.kubectl_world import NAMESPACE, KubectlWorld, kubectl_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubectlWorld]:
    with kubectl_world(tmp_path_factory.mktemp("kubectl")) as running:
        yield running


@pytest.fixture
def model(world: KubectlWorld) -> str:
    """A model whose pods have all options."""
    world.make_model("hello")
    world.acknowledge("hello", "first")
    return "hello"


@pytest.fixture(scope="module")
def alone(world: KubectlWorld, tmp_path_factory: pytest.TempPathFactory) -> KubectlGenai:
    return KubectlGenai(world.plane.kubeconfig, NAMESPACE, one_file(tmp_path_factory.mktemp("one-file")))


def test_the_one_file_needs_no_installed_package(world: KubectlWorld, alone: KubectlGenai, model: str) -> None:
    assert "profile" in subprocess.run([*alone.program, "--help"], capture_output=True, text=True, check=True).stdout
    assert alone.run("why", model, "-o", "json").json()["model"] == model
    assert alone.run("profile", "list", "-o", "yaml").code == 0
    halting = alone.start("halt", model)
    world.wait_annotation(model, "terminate-session", "1")
    world.acknowledge(model, "second")
    assert end(halting).code == 0
    assert alone.run("halt", "none").code == 3


def test_the_one_file_has_no_native_code(alone: KubectlGenai) -> None:
    with zipfile.ZipFile(alone.program[-1]) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith((".so", ".pyd")) or name.startswith("pydantic")]
    assert {"genai_kubectl/app.py", "genai_traces/page.css"} <= set(names)


def test_kubectl_finds_it_on_the_path(world: KubectlWorld, alone: KubectlGenai) -> None:
    path = f"{Path(alone.program[-1]).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(world.plane.kubeconfig)}
    command = [str(world.plane.binary), "kubectl", "genai", "profile", "list", "-n", NAMESPACE, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "items" in json.loads(done.stdout)
