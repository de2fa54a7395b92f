"""The operator's own process, and namespaces to try it in. For contract tests against a control plane."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.control_ca import write_ca
from support.control_plane import ControlPlane, control_plane
from support.ports import free_port

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
GROUP = "genai-operator.io"
SECONDS = 180.0


@dataclass
class Operator:
    """A process and how to start it again. `name` is its identity and names its log."""

    plane: ControlPlane
    authority: Path
    name: str = "contract"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.plane.folder / f"{self.name}.log"

    def start(self) -> None:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.plane.kubeconfig),
            "GENAI_OPERATOR_CA_DIR": str(self.authority),
            "GENAI_OPERATOR_HEALTH_PORT": str(self.port),
            "GENAI_OPERATOR_NAMESPACE": "default",
            "GENAI_OPERATOR_IDENTITY": self.name,
            "GENAI_OPERATOR_LEASE_SECONDS": "3",
        }
        with (self.log_file).open("ab") as log:
            command = [sys.executable, "-m", "genai_operator"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def log(self) -> list[Object]:
        lines = (self.log_file).read_text().splitlines()
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """Ends it at once, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)


def install_crds(plane: ControlPlane) -> None:
    """The project's CRD."""
    for crd in sorted((ROOT / "crds").glob("*.yaml")):
        plane.kubectl("apply", "--server-side", "--filename=-", stdin=crd.read_text())


@contextlib.contextmanager
def running_operator(folder: Path) -> Iterator[Operator]:
    """An operator on a control plane of its own in an empty folder, with the CRDs there when it starts."""
    with control_plane(folder) as plane:
        install_crds(plane)
        running = Operator(plane, write_ca(plane.folder / "ca"))
        running.start()
        try:
            yield running
        finally:
            running.kill()


@dataclass
class Team:
    """A namespace, and kubectl in it."""

    plane: ControlPlane
    name: str

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.plane.kubectl(f"--namespace={self.name}", *arguments, stdin=stdin)

    def model(self, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        named = {f"{GROUP}/{key}": value for key, value in (annotations or {}).items()}
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "GenAIModel",
            "metadata": {"name": name, "annotations": named},
            "spec": {"model": {"uri": "builtin://hello"}, "replicas": 0, **spec},
        }
        self.kubectl("apply", "--filename=-", stdin=json.dumps(body))

    def find(self, kind: str, name: str) -> Object | None:
        text = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        return dict(json.loads(text)) if text.strip() else None

    def get(self, kind: str, name: str) -> Object:
        found = self.find(kind, name)
        assert found is not None, f"{kind} {name} is not there"
        return found

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        conditions = self.get("genaimodel", name).get("status", {}).get("conditions", [])
        found: Object = next((each for each in conditions if each["type"] == kind), {})
        return found.get("status", ""), found.get("reason", "")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
            time.sleep(0.1)

    def until_settled(self, name: str) -> None:
        """Waits until nothing is left to do for a model without replicas."""
        self.until(lambda: self.condition(name, "RuntimeOptionsApplied") == ("True", "NoPods"), f"{name} has a status")
        self.until(lambda: self.condition(name, "Progressing") == ("False", "Complete"), f"{name} is complete")


def new_team(plane: ControlPlane, request: pytest.FixtureRequest, part: str = "") -> Team:
    """A namespace named after the test and its part, if it has parts; a new one when the test runs again."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:54].rstrip("-").lower()
    name = f"{name}-{part}{uuid.uuid4().hex[:4]}"
    plane.kubectl("create", "namespace", name)
    return Team(plane, name)
