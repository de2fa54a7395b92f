"""Clients in a pod: the demo's gRPC and HTTP programs in a pod of the runtime image, run by `kubectl exec`.

A third program keeps its connections and asks until it is told to end.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.live_cluster import LiveCluster, Object, wait_until

_DEMO = Path(__file__).parents[2] / "examples" / "demo"
GRPC_PROGRAM, HTTP_PROGRAM = _DEMO / "client.py", _DEMO / "http_client.py"
KEPT_PROGRAM = Path(__file__).parents[1] / "clients" / "kept_connections.py"
RUNTIME_IMAGE = "localhost/genai-runtime:dev"
NAME = "client"


def client_manifests(namespace: str) -> list[Object]:
    """A ConfigMap with the programs and a pod that waits to run them."""
    programs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace},
        "data": {each.name: each.read_text(encoding="utf-8") for each in (GRPC_PROGRAM, HTTP_PROGRAM, KEPT_PROGRAM)},
    }
    container = {
        "name": NAME,
        "image": RUNTIME_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        # PID 1 has no default for SIGTERM: without a handler the pod would outlive its grace period.
        "command": ["python", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
        "volumeMounts": [{"name": "programs", "mountPath": "/client", "readOnly": True}],
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
        "volumes": [{"name": "programs", "configMap": {"name": NAME}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": namespace}, "spec": spec}
    return [programs, pod]


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


class KeptConnections:
    """Clients that keep their connections, and ask one question after the other until `failed`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def calls(self) -> list[int]:
        """How many each client has made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline())["calls"])

    def wait_go_on(self) -> None:
        """Waits until each client has made another four calls."""
        before = self.calls()

        def more() -> bool:
            return all(now >= then + 4 for then, now in zip(before, self.calls(), strict=True))

        wait_until("each client's next answers", more, 120)

    def failed(self) -> list[str]:
        """Ends them; what went wrong."""
        output, _ = self._process.communicate("", timeout=120)
        return list(json.loads(output.splitlines()[-1])["failed"])


class ClientPod:
    """The waiting pod; each call runs a program in it once."""

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

        wait_until("client pod running", running, 180)

    @property
    def ip(self) -> str:
        """Its address: as which pods without API keys know it."""
        pod = self._cluster.get("Pod", NAME, self._namespace)
        assert pod is not None, "the client's pod is gone"
        return str(pod["status"]["podIP"])

    def start(self, command: str, address: str, **options: object) -> RunningClient:
        """Starts a command of the gRPC program and returns at once."""
        return self._start(GRPC_PROGRAM, command, address, **options)

    def _start(self, program: Path, *words: str, **options: object) -> RunningClient:
        flags: list[str] = []
        for key, value in options.items():
            flags += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
        command = ["python", "-u", f"/client/{program.name}", *words, *flags]
        process = subprocess.Popen(
            self._cluster.command("kubectl", "exec", "-n", self._namespace, NAME, "--", *command),
            env=self._cluster.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return RunningClient(process)

    def keep_asking(self, *arguments: str) -> KeptConnections:
        """Starts clients as `tests/clients/kept_connections.py` says."""
        command = ["python", "-u", f"/client/{KEPT_PROGRAM.name}", *arguments]
        process = subprocess.Popen(
            self._cluster.command("kubectl", "exec", "-i", "-n", self._namespace, NAME, "--", *command),
            env=self._cluster.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return KeptConnections(process)

    def run(self, command: str, address: str, **options: object) -> list[dict[str, Any]]:
        """Runs a command of the gRPC program to its end and returns its lines."""
        return self.start(command, address, **options).finish()

    def ask(self, address: str, **options: object) -> tuple[str, str]:
        """(answer, status code) of one question over gRPC."""
        lines = self.run("ask", address, **options)
        return answer(lines), str(lines[-1]["code"])

    def run_http(self, url: str, model: str, **options: object) -> list[dict[str, Any]]:
        """Asks one question over OpenAI's HTTP and returns the program's lines."""
        return self._start(HTTP_PROGRAM, url, model=model, **options).finish()

    def ask_http(self, url: str, model: str, **options: object) -> tuple[str, int]:
        """(answer, HTTP status) of one question."""
        lines = self.run_http(url, model, **options)
        return answer(lines), int(lines[-1]["code"])


def answer(lines: list[dict[str, Any]], stream: str | None = None) -> str:
    """The text that a program's lines hold, or one stream of several."""
    chunks = (line for line in lines if line["event"] == "chunk" and stream in (None, line.get("id")))
    return "".join(line["text"] for line in chunks)
