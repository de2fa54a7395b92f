"""The cluster without Docker: up, down, status and images of the one-node Kubernetes that runs in `node.py`'s
namespaces.

Which cluster a caller gets is decided in `cluster.py`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localkube import api, binaries, components, node, packages, pause_image, pki, places, process
from localkube.errors import LocalKubeError
from localkube.process import Process

FIRST = "node"
"""The key of the node's first process in the process list."""
START_SECONDS = 90


@dataclass(frozen=True)
class Status:
    """`running`: every process lives and the API server answers. `dead`: the programs that were started and are
    gone."""

    running: bool
    processes: dict[str, int]
    dead: tuple[str, ...]


class LocalCluster:
    """One per machine; all methods are safe to call from several processes at once."""

    def __init__(self, state: places.State | None = None) -> None:
        self.state = state or places.State()

    def up(self) -> None:
        """Starts the cluster, or leaves a healthy one alone. After a crash or a reboot it starts again with the same
        objects;
        one of other binaries or settings is replaced. Raises LocalKubeError when it does not become ready."""
        self._require_root()
        with self._locked():
            packages.ensure(packages.CLUSTER, "the local cluster")
            links = binaries.build()
            wanted = components.Node(self.state, links, node.bridge_netfilter())
            if self._stamp() == components.stamp(wanted) and self.status().running:
                return
            if self.state.root.exists():
                self._stop(keep=self._stamp() == components.stamp(wanted))
            try:
                self._start(wanted)
            except LocalKubeError as error:
                print(f"{error}\nStarting once more, with nothing kept from before.", flush=True)
                self._stop(keep=False)
                self._start(wanted)

    def down(self) -> None:
        """Ends the cluster and deletes its state. Does nothing when there is none."""
        self._require_root()
        with self._locked():
            self._stop(keep=False)

    def status(self) -> Status:
        recorded = process.load(self.state.processes)
        dead = tuple(name for name, one in recorded.items() if not one.alive())
        alive = {name: one.pid for name, one in recorded.items() if one.alive()}
        answers = bool(alive) and not dead and api.get(self.state.pki, "/readyz") == "ok"
        return Status(answers, alive, dead)

    def load_image(self, archive: Path) -> bool:
        """Imports a docker-archive; False when the cluster holds exactly this one already. Raises LocalKubeError."""
        digest = _sha256(archive)
        records = [self.state.loaded_images / hashlib.sha256(tag.encode()).hexdigest() for tag in tags(archive)]
        if all(record.exists() and record.read_text() == digest for record in records):
            return False
        self._ctr("images", "import", "--snapshotter", "overlayfs", str(archive))
        self.state.loaded_images.mkdir(exist_ok=True)
        for record in records:
            record.write_text(digest)
        return True

    def _start(self, wanted: components.Node) -> None:
        began = time.monotonic()
        since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._prepare(wanted)
        first = node.create(self.state, binaries.path_of(binaries.PAUSE))
        running = {FIRST: first}
        try:
            for component in components.components(wanted):
                running[component.name] = node.start(self.state, first, component)
                if component.name == "apiserver":
                    # the rest would fail, wait and try again: slower than to start when it answers
                    self._await("the API server", lambda: api.get(self.state.pki, "/readyz") == "ok", running)
                if component.name == "containerd":
                    self._await("containerd", lambda: self.state.containerd_socket.is_socket(), running)
                    self._load_pause()
        finally:
            process.save(self.state.processes, running)
        self._await("the node", lambda: api.node_ready(self.state.pki, since), running)
        self._await("the pods of before", lambda: api.pods_current(self.state.pki, since), running)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._await("the default service account", lambda: api.get(self.state.pki, account) is not None, running)
        self.state.stamp.write_text(components.stamp(wanted))
        print(
            f"Local Kubernetes {binaries.KUBERNETES} is up after {time.monotonic() - began:.1f} s;"
            f" kubeconfig: {self.state.kubeconfig}",
            flush=True,
        )

    def _prepare(self, wanted: components.Node) -> None:
        state = self.state
        state.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (state.logs, state.config):
            folder.mkdir(exist_ok=True)
        # what the machine's own reboot would clear: runtime state and the addresses given to pods
        for cleared in ("run", "var/lib/cni"):
            shutil.rmtree(state.private / cleared, ignore_errors=True)
        state.containerd_socket.unlink(missing_ok=True)
        if not state.kubeconfig.exists():
            pki.create(state.pki)
            for user in pki.KUBECONFIG_USERS:
                own = state.config / f"{user}.kubeconfig"
                own.touch(mode=0o600)
                own.write_text(pki.kubeconfig(state.pki, user))
            shutil.copy(state.config / "admin.kubeconfig", state.kubeconfig)
        for file, content in components.config_files(wanted).items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def _await(self, what: str, ready: Callable[[], bool], running: dict[str, Process]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            dead = [name for name, one in running.items() if not one.alive()]
            if dead or time.monotonic() > deadline:
                late = dead[0] if dead else ""
                reason = f"{late} ended" if dead else f"not ready after {START_SECONDS} s"
                raise LocalKubeError(
                    f"{what} did not start: {reason}; logs are in {self.state.logs}\n{self._tail(late)}"
                )
            time.sleep(0.1)

    def _tail(self, name: str) -> str:
        log = self.state.logs / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if name and log.exists() else ""

    def _load_pause(self) -> None:
        archive = self.state.root / "pause.tar"
        pause_image.write(binaries.path_of(binaries.PAUSE), archive, places.PAUSE_IMAGE)
        self.load_image(archive)

    def _ctr(self, *arguments: str) -> str:
        command = ["ctr", "--address", str(self.state.containerd_socket), "--namespace", "k8s.io", *arguments]
        environment = {**os.environ, "PATH": packages.SYSTEM_PATH}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalKubeError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")
        return done.stdout

    def _stop(self, *, keep: bool) -> None:
        node.destroy(self.state)
        if not keep and self.state.root.exists():
            self._refuse_mounts()
            node.forget_folders(self.state)
            shutil.rmtree(self.state.root)

    def _refuse_mounts(self) -> None:
        """Deleting through a mount would delete what is not ours."""
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        inside = [path for path in mounted if path.startswith(f"{self.state.root}/")]
        if inside:
            raise LocalKubeError(f"{inside[0]} is mounted inside the cluster's state; unmount it, then try again")

    def _stamp(self) -> str:
        try:
            return self.state.stamp.read_text()
        except FileNotFoundError:
            return ""

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = Path(f"/run/lock/{places.NAME}")
        path.parent.mkdir(parents=True, exist_ok=True)  # a container's /run may be empty
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _require_root(self) -> None:
        if os.geteuid() != 0:
            raise LocalKubeError("the local cluster needs root; or set CLUSTER=current to use a cluster you have")


def tags(archive: Path) -> list[str]:
    """The names in a docker-archive. Raises LocalKubeError when it is no such archive."""
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile("manifest.json")
            manifest = json.load(content) if content else []
    except (KeyError, tarfile.TarError, OSError, ValueError) as error:
        raise LocalKubeError(f"{archive} is not a docker-archive: {error}") from error
    found = [tag for image in manifest for tag in image.get("RepoTags") or ()]
    if not found:
        raise LocalKubeError(f"{archive} names no image: build it with a tag")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
