"""A control plane without nodes, on loopback, for contract tests and benchmarks: etcd, API server, controller manager.

Its own ports and a temporary folder, so it runs beside a cluster of `make up`. Objects live as in any cluster, garbage
collection included; Deployments make ReplicaSets and Pods that nobody schedules. The binaries are the project's own.
"""

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localkube import binaries, pki

_START_SECONDS = 90.0
_SERVICE_NETWORK = "10.97.0.0/16"


@dataclass(frozen=True)
class ControlPlane:
    """A running one. `folder` holds its state and logs."""

    folder: Path
    binary: Path
    url: str

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "admin.kubeconfig"

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of kubectl; raises CalledProcessError, whose notes hold what it said, when it fails."""
        command = [str(self.binary), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
        if done.returncode:
            error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout


@contextlib.contextmanager
def control_plane(folder: Path, *, controllers: bool = True) -> Iterator[ControlPlane]:
    """Starts one in an empty folder and ends it with the context. `controllers`: with the controller manager."""
    binary = binaries.build((binaries.LOCALKUBE,)) / "localkube"
    etcd, peer, port = _free_ports(3)
    plane = ControlPlane(folder, binary, f"https://127.0.0.1:{port}")
    pki.create(folder / "pki")
    for user in ("admin", "controller-manager"):
        (folder / f"{user}.kubeconfig").write_text(_kubeconfig(plane, user))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_program(plane, "etcd", _etcd(folder, etcd, peer)))
        stack.enter_context(_program(plane, "kube-apiserver", _apiserver(folder, etcd, port)))
        _wait_ready(plane)
        if controllers:
            stack.enter_context(_program(plane, "kube-controller-manager", _controller_manager(folder)))
        yield plane


def _etcd(folder: Path, port: int, peer: int) -> list[str]:
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(folder: Path, etcd: int, port: int) -> list[str]:
    keys = folder / "pki"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        # Nothing in this cluster reads the endpoints of the API server's own Service.
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={_SERVICE_NETWORK}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={keys / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--profiling=false",
    ]


def _controller_manager(folder: Path) -> list[str]:
    keys = folder / "pki"
    return [
        f"--kubeconfig={folder / 'controller-manager.kubeconfig'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={_free_ports(1)[0]}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={keys / 'service-accounts.key'}",
        f"--root-ca-file={keys / 'ca.crt'}",
        "--profiling=false",
        "--horizontal-pod-autoscaler-sync-period=2s",
        # A benchmark with a thousand models measures the operator, not this client's throttle.
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]


@contextlib.contextmanager
def _program(plane: ControlPlane, name: str, flags: Sequence[str]) -> Iterator[None]:
    with (plane.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([plane.binary, name, *flags], stdout=log, stderr=log, cwd=plane.folder)
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)  # nothing of it is kept
            process.wait()


def _wait_ready(plane: ControlPlane) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if plane.kubectl("get", "--raw=/readyz") == "ok":
                return
        if time.monotonic() > deadline:
            log = (plane.folder / "kube-apiserver.log").read_text(errors="replace")
            raise TimeoutError(f"the API server is not ready after {_START_SECONDS:.0f} s:\n{log[-3000:]}")
        time.sleep(0.2)


def _kubeconfig(plane: ControlPlane, user: str) -> str:
    keys = plane.folder / "pki"
    context = {"cluster": "test", "user": user}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": plane.url, "certificate-authority": str(keys / "ca.crt")}}
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": str(keys / f"{user}.crt"),
                        "client-key": str(keys / f"{user}.key"),
                    },
                }
            ],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
