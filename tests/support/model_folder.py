"""A claim with a model's folder on it, for models that are read from `pvc://`: a static volume on the node.

Claims and volumes are the cluster's own; what a folder has to hold is the runtime's business.
"""

import uuid

from support.client_pod import RUNTIME_IMAGE
from support.live_cluster import LiveCluster, Object, wait_until

# Here a pod may write to the node, which `restricted` forbids.
WRITERS = "genai-test-writers"
ROOT = "/var/tmp/genai-tests"

COPY = """
import shutil, sys
shutil.copytree("/opt/genai/models/hello", sys.argv[1], ignore=shutil.ignore_patterns(sys.argv[2]))
"""
# Whoever runs in the cluster may write there.
EMPTY = """
import os, sys
os.makedirs(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
"""
# What harmful folders have: weights that are a link, and a library.
HARM = """
import os, sys
folder, kind = sys.argv[1:]
if kind == "link":
    os.rename(f"{folder}/model.onnx.data", f"{folder}.weights")
    os.symlink(f"{folder}.weights", f"{folder}/model.onnx.data")
elif kind == "library":
    open(f"{folder}/libevil.so", "wb").close()
"""
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"


class ModelFolder:
    """A folder on the node, and a claim in `namespace` that is bound to it."""

    def __init__(self, cluster: LiveCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = f"genai-test-{uuid.uuid4().hex[:8]}"
        self._path = f"{ROOT}/{self._name}"
        self._modes = ["ReadOnlyMany"]

    def make(self, claim: str, path: str, without: str = "") -> None:
        """Copies the demo model to `path` of the claim, all of it but one file."""
        self._write(COPY, f"/node/{self._name}/{path}", without)
        self._cluster.create(self._volume(claim))
        self._cluster.create(self._claim(claim))

    def make_empty(self, claim: str) -> None:
        """An empty folder that pods may write to."""
        self._modes = ["ReadWriteOnce"]
        self._write(EMPTY, f"/node/{self._name}")
        self._cluster.create(self._volume(claim))
        self._cluster.create(self._claim(claim))

    def add_harmful(self, path: str, kind: str) -> None:
        """Another folder at `path` of the claim, one with a `link` to its weights, or with a `library`."""
        self._write(COPY + HARM, f"/node/{self._name}/{path}", kind)

    def remove(self) -> None:
        """Deletes the volume and the folder."""
        self._cluster.delete("PersistentVolume", self._name)
        self._write(REMOVE, f"/node/{self._name}")

    def _write(self, program: str, *arguments: str) -> None:
        try:
            self._cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WRITERS}})
        except Exception as error:
            if getattr(error, "status", 0) != 409:
                raise
        wait_until("account of the writers", lambda: self._cluster.get("ServiceAccount", "default", WRITERS), 90)
        pod = f"{self._name}-{uuid.uuid4().hex[:4]}"
        self._cluster.create(self._writer(pod, program, arguments))

        def phase() -> str | None:
            found = (self._cluster.get("Pod", pod, WRITERS) or {}).get("status", {}).get("phase")
            return found if found in ("Succeeded", "Failed") else None

        ended = wait_until(f"writer {pod}", phase, 180)
        assert ended == "Succeeded", self._cluster.kubectl("logs", "-n", WRITERS, pod)
        self._cluster.delete("Pod", pod, WRITERS)

    def _writer(self, name: str, program: str, arguments: tuple[str, ...]) -> Object:
        container = {
            "name": "write",
            "image": RUNTIME_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", program, *arguments],
            "securityContext": {"runAsUser": 0, "runAsGroup": 0},
            "volumeMounts": [{"name": "node", "mountPath": "/node"}],
        }
        volume = {"name": "node", "hostPath": {"path": ROOT, "type": "DirectoryOrCreate"}}
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": WRITERS}, "spec": spec}

    def _volume(self, claim: str) -> Object:
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": self._modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"name": claim, "namespace": self._namespace},
            "hostPath": {"path": self._path},
        }
        return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": self._name}, "spec": spec}

    def _claim(self, claim: str) -> Object:
        spec = {
            "accessModes": self._modes,
            "storageClassName": "",
            "volumeName": self._name,
            "resources": {"requests": {"storage": "1Gi"}},
        }
        metadata = {"name": claim, "namespace": self._namespace}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
