"""Where the local cluster keeps its things, and the addresses it uses. Fixed for the whole machine: one cluster per
machine, whatever clone asks.

Nothing here touches the disk or the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NAME = "genai-localkube"
"""Names the state folder, the control groups and the kubeconfig's context."""

NODE_NAME = "local"
NODE_ADDRESS = "10.244.0.1"
"""The bridge inside the node's network namespace: API server, DNS and kubelet listen here or on that namespace's
loopback."""
HOST_ADDRESS = "10.244.0.2"
"""This machine's end of the one link to the node."""
POD_NETWORK = "10.244.0.0/24"
FIRST_POD_ADDRESS = "10.244.0.10"
SERVICE_NETWORK = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
HOST_LINK = "genai-lk-host"
NODE_LINK = "genai-lk-node"
BRIDGE = "genai-lk"
PAUSE_IMAGE = "localhost/genai-localkube-pause:1"

API_URL = f"https://{NODE_ADDRESS}:{API_PORT}"


def cache_dir() -> Path:
    """The folder for what is expensive to make (binaries, base images); outside the repository and shared by all
    clones."""
    own = os.environ.get("GENAI_DEV_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "genai-operator"


@dataclass(frozen=True)
class State:
    """The files of one running cluster; deleted as a whole by `down`."""

    root: Path = Path("/var/lib") / NAME

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, certificates included."""
        return self.root / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def processes(self) -> Path:
        """What runs: one JSON object, see `process.py`."""
        return self.root / "processes.json"

    @property
    def stamp(self) -> Path:
        """The key of the binaries and settings the cluster was started with."""
        return self.root / "stamp"

    @property
    def loaded_images(self) -> Path:
        """Image archive digests that were already imported, one file each."""
        return self.root / "loaded-images"

    @property
    def private(self) -> Path:
        """Folders that the node's mount namespace sees in place of the machine's own (`/run`, `/var/log`, ...)."""
        return self.root / "private"
