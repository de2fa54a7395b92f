"""A running cluster as tests and the demo use it: objects as plain dicts, kubectl and helm as programs, waiting.

What the objects of this project mean is in `model_resource.py`; making a cluster is `localkube`'s work.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import yaml
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from localkube.cluster import Cluster

Object = dict[str, Any]
Found = TypeVar("Found")

MERGE_PATCH = "application/merge-patch+json"
POLL_SECONDS = 0.1
# Of what starts a program in a pod: more often, it would take the time from what is waited for.
EXEC_POLL_SECONDS = 0.5
# Pod Security's strictest profile: what cannot run there is refused at admission.
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


class CommandFailed(AssertionError):
    """kubectl or helm ended with an error; the message is what it said."""


def wait_until(what: str, found: Callable[[], Found | None], seconds: float, every: float = POLL_SECONDS) -> Found:
    """Asks until there is an answer that is neither None nor False, with `every` so many seconds between.

    Raises:
        AssertionError: there was none in time; `what` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = found()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(every)


class LiveCluster:
    """One cluster, as its administrator."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        connect: Any = config.new_client_from_config  # the package's functions carry no types
        dynamic: Any = DynamicClient
        self.api = dynamic(connect(config_file=str(cluster.kubeconfig)))

    @classmethod
    def connect(cls) -> Self:
        """The cluster that CLUSTER names, started if need be."""
        return cls(Cluster.connect())

    # -- objects -----------------------------------------------------------------------------------------------------

    def _resource(self, kind: str, api_version: str = "") -> Any:
        return self.api.resources.get(kind=kind, **({"api_version": api_version} if api_version else {}))

    def get(self, kind: str, name: str, namespace: str | None = None, api_version: str = "") -> Object | None:
        """The object, or None."""
        try:
            found = self._resource(kind, api_version or API_VERSIONS[kind]).get(name=name, namespace=namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return dict(found.to_dict())

    def find(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or everywhere."""
        found = self._resource(kind, API_VERSIONS[kind]).get(namespace=namespace, label_selector=selector)
        return list(found.to_dict()["items"])

    def create(self, manifest: Mapping[str, Any]) -> Object:
        """Creates; ApiException when the API server refuses."""
        resource = self._resource(manifest["kind"], manifest["apiVersion"])
        return dict(resource.create(body=manifest, namespace=manifest["metadata"].get("namespace")).to_dict())

    def patch(self, kind: str, name: str, namespace: str, patch: Mapping[str, Any], subresource: str = "") -> Object:
        """A JSON merge patch; ApiException when the API server refuses."""
        resource = self._resource(kind, API_VERSIONS[kind])
        target = resource.subresources[subresource] if subresource else resource
        answer = target.patch(body=patch, name=name, namespace=namespace, content_type=MERGE_PATCH)
        return dict(answer.to_dict())

    def delete(self, kind: str, name: str, namespace: str | None = None, grace_seconds: int | None = None) -> None:
        """Deletes without waiting; an object that is not there is no error."""
        body: Object = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            self._resource(kind, API_VERSIONS[kind]).delete(name=name, namespace=namespace, body=body)
        except ApiException as error:
            if error.status != 404:
                raise

    def make_namespace(self, name: str) -> None:
        """A namespace that enforces `restricted`; one that exists is left as it is."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        try:
            self.create(manifest)
        except ApiException as error:
            if error.status != 409:
                raise
        # Pods are refused until the controller has made the account they run as.
        wait_until(f"account of namespace {name}", lambda: self.get("ServiceAccount", "default", name), 90)

    def metrics(self, pod: str, namespace: str, port: int) -> str:
        """A pod's Prometheus page, through the API server."""
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")

    def own_address(self) -> str:
        """Of this machine, as the nodes and their pods see it."""
        node = self.find("Node")[0]
        address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # nothing is sent
            return str(probe.getsockname()[0])

    # -- programs ----------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What kubectl and helm need."""
        return self._cluster.environment()

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of `kubectl` or `helm`."""
        return [self._cluster.program(program), *arguments]

    def kubectl(self, *arguments: str, given: str | None = None, seconds: float = 120) -> str:
        """Runs kubectl and returns what it printed. Raises `CommandFailed`."""
        return self._run("kubectl", arguments, given, seconds)

    def helm(self, *arguments: str, seconds: float = 300) -> str:
        """Runs helm and returns what it printed. Raises `CommandFailed`."""
        return self._run("helm", arguments, None, seconds)

    def kubectl_bytes(self, *arguments: str, seconds: float = 120) -> bytes:
        """Runs kubectl and returns what it printed, as it is. Raises `CommandFailed`."""
        done = subprocess.run(
            self.command("kubectl", *arguments),
            env=self.environment(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> str:
        """`kubectl apply --server-side`; returns what it printed."""
        return self.kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(manifests))

    def _run(self, program: str, arguments: tuple[str, ...], given: str | None, seconds: float) -> str:
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"{program} {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


API_VERSIONS = {
    "GenAIModel": "genai-operator.io/v1alpha1",
    "GenAIProfile": "genai-operator.io/v1alpha1",
    "Deployment": "apps/v1",
    "Pod": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Secret": "v1",
    "ConfigMap": "v1",
    "Namespace": "v1",
    "Node": "v1",
    "Event": "v1",
    "PersistentVolume": "v1",
    "PersistentVolumeClaim": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Job": "batch/v1",
    "Lease": "coordination.k8s.io/v1",
    "ReplicaSet": "apps/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}
