"""A gRPC client in a pod: the demo's client program in a pod of the runtime image, run by `kubectl exec`."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.live_cluster import LiveCluster, Object, wait_until

PROGRAM = Path(__file__).parents[2] / "examples" / "demo" / "client.py"
RUNTIME_IMAGE = "localhost/genai-runtime:dev"
NAME = "client"


def client_manifests(namespace: str) -> list[Object]:
    """A ConfigMap with the program and a pod that waits to run it."""
    program = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace},
        "data": {PROGRAM.name: PROGRAM.read_text(encoding="utf-8")},
    }
    container = {
        "name": NAME,
        "image": RUNTIME_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        # PID 1 has no default for SIGTERM: without a handler the pod would outlive its grace period.
        "command": ["python", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
        "volumeMounts": [{"name": "program", "mountPath": "/client", "readOnly": True}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": namespace}, "spec": spec}
    return [program, pod]


class RunningClient:
    """A client that is running; its lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.seen: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append(json.loads(line))
            yield self.seen[-1]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Reads on until an event of this kind; AssertionError when the client ends before."""
        for line in self:
            if line["event"] == event:
                return line
        raise AssertionError(f"the client ended without {event}: {self._ended()}")

    def finish(self) -> list[dict[str, Any]]:
        """Reads to the end and returns all lines; AssertionError when the program failed."""
        for _ in self:
            pass
        problem = self._ended()
        assert self._process.returncode == 0, problem
        return self.seen

    def _ended(self) -> str:
        _, errors = self._process.communicate(timeout=30)
        return f"exit {self._process.returncode}, last lines {self.seen[-3:]}, {errors.strip()[-2000:]}"

    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._process.poll() is None


class ClientPod:
    """The waiting pod; each call runs the program in it once."""

    def __init__(self, cluster: LiveCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def make(self) -> None:
        """Creates the pod and waits until it runs."""
        self._cluster.apply(*client_manifests(self._namespace))

        def running() -> bool:
            pod = self._cluster.get("Pod", NAME, self._namespace) or {}
            containers = pod.get("status", {}).get("containerStatuses", [])
            return any("running" in each.get("state", {}) for each in containers)

        wait_until("client pod running", running, 60)

    def arguments(self, command: str, address: str, **options: object) -> list[str]:
        """kubectl's arguments for one run of the program."""
        flags: list[str] = []
        for key, value in options.items():
            flags += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
        program = ["python", "-u", f"/client/{PROGRAM.name}", command, address, *flags]
        return ["exec", "-n", self._namespace, NAME, "--", *program]

    def start(self, command: str, address: str, **options: object) -> RunningClient:
        """Starts the program and returns at once."""
        process = subprocess.Popen(
            self._cluster.command("kubectl", *self.arguments(command, address, **options)),
            env=self._cluster.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return RunningClient(process)

    def run(self, command: str, address: str, **options: object) -> list[dict[str, Any]]:
        """Runs the program to its end and returns its lines."""
        return self.start(command, address, **options).finish()

    def ask(self, address: str, text: str = "What is the capital of France?", max_tokens: int = 64) -> tuple[str, str]:
        """(answer, status code) of one question."""
        lines = self.run("ask", address, text=text, max_tokens=max_tokens)
        answer = "".join(line["text"] for line in lines if line["event"] == "chunk")
        return answer, str(lines[-1]["code"])
