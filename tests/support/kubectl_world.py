"""A real API server as `kubectl genai` sees it, and no operator: tests write the statuses that one would write."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genai_kubectl.decisions.rights import PROFILER, USER, VIEWER
from genai_operator.api import crd
from support.control_plane import ControlPlane, control_plane
from support.kubectl_genai import KubectlGenai
from support.live_cluster import wait_until
from support.release import CHART
from support.tools import helm_program

NAMESPACE = "team-a"
GROUP = "genai-operator.io"
TIME = "2026-01-01T00:00:00Z"
ROLES = (VIEWER, USER, PROFILER)
READY_POD = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}


class KubectlWorld:
    """The API server, with what it holds, and the program as its administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.genai = KubectlGenai(plane.kubeconfig, NAMESPACE, inside=True)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", NAMESPACE, *arguments, stdin=stdin)

    def make_model(self, name: str, **spec: Any) -> None:
        body = {"model": {"uri": "builtin://hello"}, **spec}
        metadata = {"name": name, "namespace": NAMESPACE}
        self.create({"apiVersion": f"{GROUP}/v1alpha1", "kind": "GenAIModel", "metadata": metadata, "spec": body})

    def make_pod(self, name: str, model: str) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {f"{GROUP}/model": model}}
        spec = {"containers": [{"name": "model", "image": "none"}]}
        self.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.status("pod", name, READY_POD)

    def create(self, body: dict[str, Any]) -> None:
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))

    def status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)

    def acknowledge(self, model: str, revision: str, **fields: Any) -> None:
        """As an operator does when all pods have what is asked for."""
        pods = [{"name": f"{model}-1", "state": "Applied", "at": TIME}]
        options = {"revision": revision, "applied": "1/1", "pods": pods, **fields}
        applied = {"type": "RuntimeOptionsApplied", "status": "True", "reason": "Applied", "lastTransitionTime": TIME}
        self.status("gaim", model, {"runtimeOptions": options, "conditions": [applied]})

    def annotation(self, model: str, key: str) -> str | None:
        found = json.loads(self.kubectl("get", "gaim", model, "-o", "json"))["metadata"].get("annotations") or {}
        value = found.get(f"{GROUP}/{key}")
        return None if value is None else str(value)

    def wait_annotation(self, model: str, key: str, value: str | None) -> None:
        wait_until(f"{key} is {value}", lambda: self.annotation(model, key) == value, 30)


@contextmanager
def kubectl_world(folder: Path) -> Iterator[KubectlWorld]:
    """An API server of its own, with the CRDs, a namespace and the chart's roles."""
    # Nothing makes service accounts for pods here, so nothing may ask for them.
    with control_plane(folder, controllers=False) as plane:
        for path in crd.FILES:
            plane.kubectl("apply", "--server-side", "-f", str(path))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        plane.kubectl("create", "namespace", NAMESPACE)
        world = KubectlWorld(plane)
        world.kubectl("create", "serviceaccount", "default")
        _bind_roles(world)
        yield world


def _bind_roles(world: KubectlWorld) -> None:
    """The chart's roles, each bound to an account of its own name."""
    template = [helm_program(), "template", "genai-operator", str(CHART), "-s", "templates/kubectlroles.yaml"]
    rendered = subprocess.run(template, capture_output=True, text=True, check=True).stdout
    world.plane.kubectl("apply", "-f", "-", stdin=rendered)
    for role in ROLES:
        world.kubectl("create", "serviceaccount", role)
        account = f"--serviceaccount={NAMESPACE}:{role}"
        world.kubectl("create", "rolebinding", role, f"--clusterrole={role}", account)
