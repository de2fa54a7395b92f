"""The cluster that the demo, the tests and the benchmarks run on, whichever it is. This is the interface they use;
start here:

    cluster = Cluster.connect()            # reads CLUSTER, starts the cluster if need be
    cluster.kubectl("get", "pods")         # -> standard output
    cluster.kubectl("apply", "--filename=-", input=manifest)
    cluster.helm("list")
    cluster.kubeconfig                     # for Python clients and other programs
    cluster.load_image(Path("x.tar"))      # a docker-archive; quick when it is loaded already

CLUSTER is `local` (the project's own, needs root), `kind` (needs Docker), `current` (the kubeconfig's context:
nothing is started,
stopped or loaded there), or `auto`: kind where Docker answers, else local. How the local one works is not known here.
"""

from __future__ import annotations

import abc
import os
import shutil
import subprocess
from pathlib import Path

from localkube import binaries, places
from localkube.errors import LocalKubeError
from localkube.local import LocalCluster

CHOICES = ("auto", "current", "kind", "local")
KIND_NAME = "genai-dev"


class CommandFailed(LocalKubeError):
    """kubectl or helm ended with an error. `output` is what it printed, `code` its exit code."""

    def __init__(self, command: list[str], code: int, output: str) -> None:
        super().__init__(f"{' '.join(command)} ended with {code}: {output.strip()[-4000:]}")
        self.code = code
        self.output = output


class Cluster(abc.ABC):
    """One Kubernetes cluster. `kind` is `local`, `kind` or `current`."""

    kind: str
    kubeconfig: Path

    @staticmethod
    def select() -> Cluster:
        """The cluster that CLUSTER names, not started. Raises LocalKubeError for a value that is none of the
        choices."""
        choice = os.environ.get("CLUSTER") or "auto"
        if choice not in CHOICES:
            raise LocalKubeError(f"CLUSTER={choice!r} is not one of {', '.join(CHOICES)}")
        if choice == "auto":
            choice = "kind" if _docker_answers() else "local"
        return _Local() if choice == "local" else _Kind() if choice == "kind" else _Current()

    @staticmethod
    def connect() -> Cluster:
        """The selected cluster, up and ready."""
        cluster = Cluster.select()
        cluster.up()
        return cluster

    @abc.abstractmethod
    def up(self) -> None:
        """Starts the cluster; does nothing when it is healthy."""

    @abc.abstractmethod
    def down(self) -> None:
        """Ends the cluster and all that runs on it; does nothing when there is none."""

    @abc.abstractmethod
    def load_image(self, archive: Path) -> bool:
        """Makes the docker-archive's image available to pods under its tag; False when it was already."""

    @property
    @abc.abstractmethod
    def bin_dir(self) -> Path | None:
        """A folder with `kubectl` and `helm`, or None when they come from the PATH."""

    def environment(self) -> dict[str, str]:
        """This process's environment, with KUBECONFIG and the PATH for this cluster."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        if self.bin_dir is not None:
            environment["PATH"] = f"{self.bin_dir}:{environment.get('PATH', '')}"
        return environment

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 120) -> str:  # noqa: A002
        """Standard output. Raises CommandFailed; subprocess.TimeoutExpired after `timeout` seconds."""
        return self._run("kubectl", args, input, timeout)

    def helm(self, *args: str, timeout: float | None = 300) -> str:
        """Standard output. Raises CommandFailed; subprocess.TimeoutExpired after `timeout` seconds."""
        return self._run("helm", args, None, timeout)

    def program(self, name: str) -> str:
        """The full path of `kubectl` or `helm`, for callers that start it themselves (with `environment()`)."""
        path = self.environment().get("PATH", "")
        found = shutil.which(name, path=path)
        if found is None:
            raise LocalKubeError(f"{name} is not on the PATH: install it, or use CLUSTER=local, which brings its own")
        return found

    def _run(self, name: str, args: tuple[str, ...], text: str | None, timeout: float | None) -> str:
        command = [self.program(name), *args]
        # without `input`, standard input must not be the terminal's: kubectl would wait for it
        stdin = subprocess.DEVNULL if text is None else None
        done = subprocess.run(
            command,
            env=self.environment(),
            input=text,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed([name, *args], done.returncode, done.stdout + done.stderr)
        return done.stdout


class _Local(Cluster):
    kind = "local"

    def __init__(self) -> None:
        self._cluster = LocalCluster()
        self.kubeconfig = self._cluster.state.kubeconfig

    @property
    def bin_dir(self) -> Path:
        return binaries.folder()

    def up(self) -> None:
        self._cluster.up()

    def down(self) -> None:
        self._cluster.down()

    def load_image(self, archive: Path) -> bool:
        return self._cluster.load_image(archive)


class _Kind(Cluster):
    """Docker's own: kind from the PATH, or built from its Go module; kubectl and helm from the PATH, or the ones
    built for `local`."""

    kind = "kind"

    def __init__(self) -> None:
        self.kubeconfig = places.cache_dir() / "kind" / "kubeconfig"

    @property
    def bin_dir(self) -> Path | None:
        complete = shutil.which("kubectl") and shutil.which("helm")
        return None if complete else binaries.folder()

    def up(self) -> None:
        if self.bin_dir is not None:
            binaries.build((binaries.LOCALKUBE, binaries.HELM))
        if KIND_NAME not in self._kind("get", "clusters").split():
            self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            self._kind("create", "cluster", "--wait=120s")
        self._kind("export", "kubeconfig")

    def down(self) -> None:
        self._kind("delete", "cluster")

    def load_image(self, archive: Path) -> bool:
        self._kind("load", "image-archive", str(archive))
        return True

    def _kind(self, *args: str) -> str:
        program = shutil.which("kind")
        if program is None:
            binaries.build((binaries.KIND,))
            program = str(binaries.path_of(binaries.KIND))
        named = [] if args[0] == "get" else [f"--name={KIND_NAME}"]
        config = [f"--kubeconfig={self.kubeconfig}"] if args[0] in ("create", "delete", "export") else []
        command = [program, *args, *named, *config]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(command, done.returncode, done.stdout + done.stderr)
        return done.stdout


class _Current(Cluster):
    """The user's own: used as it is."""

    kind = "current"

    def __init__(self) -> None:
        configured = os.environ.get("KUBECONFIG", "").split(":")[0]
        self.kubeconfig = Path(configured) if configured else Path.home() / ".kube" / "config"

    @property
    def bin_dir(self) -> None:
        return None

    def up(self) -> None:
        if not self.kubeconfig.exists():
            raise LocalKubeError(f"CLUSTER=current, but there is no kubeconfig at {self.kubeconfig}: set KUBECONFIG")
        self.kubectl("get", "--raw=/readyz")

    def down(self) -> None:
        raise LocalKubeError("CLUSTER=current is your own cluster: it is not stopped from here")

    def load_image(self, archive: Path) -> bool:
        raise LocalKubeError(
            f"{archive.name} cannot be loaded into your own cluster: push the image to a registry that it pulls from,"
            " or load it on its nodes"
        )


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
