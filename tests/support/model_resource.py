"""GenAIModels as tests and the demo write and read them. No cluster access of its own: see `live_cluster.py`."""

import json
from collections.abc import Mapping
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import desired_options
from support.live_cluster import EXEC_POLL_SECONDS, LiveCluster, Object, wait_until

GROUP = "genai-operator.io"
PORT = 9000
# A pod starts in a few seconds; a machine that has other work at the same time needs more.
READY_SECONDS = 180.0


def genai_model(name: str, namespace: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A model of the demo model's folder; `spec` adds to or replaces parts of the spec."""
    metadata: Object = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = {f"{GROUP}/{key}": value for key, value in annotations.items()}
    body = {"model": {"uri": "builtin://hello"}, **spec}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "GenAIModel", "metadata": metadata, "spec": body}


def address(name: str, namespace: str) -> str:
    """Where a client in any pod finds the model."""
    return f"{name}.{namespace}.svc:{PORT}"


def condition(body: Mapping[str, Any] | None, kind: str) -> Object:
    """One condition of a model or a pod; an empty one while it is not there."""
    conditions = (body or {}).get("status", {}).get("conditions", [])
    return next((dict(each) for each in conditions if each["type"] == kind), {})


class ModelAccess:
    """One GenAIModel of a live cluster."""

    def __init__(self, cluster: LiveCluster, name: str, namespace: str) -> None:
        self.cluster = cluster
        self.name = name
        self.namespace = namespace
        self.address = address(name, namespace)

    def get(self) -> Object:
        """The object as it is. Fails when it is not there."""
        found = self.cluster.get("GenAIModel", self.name, self.namespace)
        assert found is not None, f"GenAIModel {self.namespace}/{self.name} is gone"
        return found

    def status(self) -> Object:
        """Its status."""
        return dict(self.get().get("status", {}))

    def condition(self, kind: str) -> Object:
        """One of its conditions."""
        return condition(self.cluster.get("GenAIModel", self.name, self.namespace), kind)

    def annotate(self, key: str, value: str | None) -> None:
        """Sets one of our annotations; None removes it."""
        patch = {"metadata": {"annotations": {f"{GROUP}/{key}": value}}}
        self.cluster.patch("GenAIModel", self.name, self.namespace, patch)

    def patch_spec(self, **spec: Any) -> None:
        """Changes parts of the spec."""
        self.cluster.patch("GenAIModel", self.name, self.namespace, {"spec": spec})

    def pods(self) -> list[Object]:
        """Its pods that are not being deleted, by name."""
        pods = self.cluster.find("Pod", self.namespace, f"{GROUP}/model={self.name}")
        living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return sorted(living, key=lambda pod: str(pod["metadata"]["name"]))

    def ready_pods(self) -> list[Object]:
        """Those that are Ready."""
        return [pod for pod in self.pods() if condition(pod, "Ready").get("status") == "True"]

    def wait_condition(self, kind: str, status: str, reason: str = "", seconds: float = READY_SECONDS) -> Object:
        """Waits for a condition's status and, if given, its reason; returns the condition."""

        def there() -> Object | None:
            found = self.condition(kind)
            matches = found.get("status") == status and (not reason or found.get("reason") == reason)
            return found if matches else None

        try:
            return wait_until(f"{kind}={status} {reason}", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status is {self.status()}") from None

    def wait_ready(self, replicas: int = 1, seconds: float = READY_SECONDS) -> None:
        """Waits until it is Ready with that many pods of its present spec."""

        def there() -> bool:
            model = self.get()
            found = condition(model, "Ready")
            status = model.get("status", {})
            return (
                found.get("status") == "True"
                and status.get("observedGeneration") == model["metadata"]["generation"]
                and status.get("readyReplicas") == replicas
                and len(self.pods()) == replicas
            )

        try:
            wait_until(f"{self.namespace}/{self.name} Ready with {replicas}", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status is {self.status()}") from None

    def wait_applied(self, pods: int = 1, seconds: float = 90.0) -> Object:
        """Waits until that many pods, and no others, acknowledged the options that the model now asks for."""

        def there() -> Object | None:
            body = self.get()
            options = body.get("status", {}).get("runtimeOptions", {})
            wanted = desired_options(GenAIModel.from_body(body)).revision
            told = (
                options.get("revision"),
                options.get("applied"),
                condition(body, "RuntimeOptionsApplied").get("status"),
            )
            return dict(options) if told == (wanted, f"{pods}/{pods}", "True") else None

        try:
            return wait_until(f"runtime options acknowledged by {pods} pods", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status is {self.status()}") from None

    def ctl(self, pod: str, *arguments: str) -> str:
        """`genai-runtime ctl …` inside one of its pods."""
        return self.cluster.kubectl("exec", "-n", self.namespace, pod, "--", "genai-runtime", "ctl", *arguments)

    def serving_state(self, pod: str) -> str:
        """What a pod says of itself, for example SERVING or HALTED."""
        state = json.loads(self.ctl(pod, "options", "--output", "json"))["servingState"]
        return str(state).removeprefix("SERVING_STATE_")

    def profiles(self, pod: str, label: str) -> list[Object]:
        """A pod's profiles of that label, newest first; `state` is OPEN, MERGING, COMPLETE or FAILED."""
        profiles = json.loads(self.ctl(pod, "profile", "list", "--output", "json"))
        for each in profiles:
            each["state"] = each["state"].removeprefix("PROFILE_STATE_")
        return [each for each in profiles if each["label"] == label]

    def wait_profile(self, pod: str, label: str, seconds: float = 180) -> Object:
        """Waits until the newest window of that label is complete or has failed; returns it."""

        def ended() -> Object | None:
            newest = self.profiles(pod, label)[:1]
            return newest[0] if newest and newest[0]["state"] in ("COMPLETE", "FAILED") else None

        return wait_until(f"window {label} closed and merged in {pod}", ended, seconds, EXEC_POLL_SECONDS)

    def fetch_profile(self, pod: str, profile: str) -> bytes:
        """The merged trace, compressed."""
        command = ("exec", "-n", self.namespace, pod, "--", "genai-runtime", "ctl", "profile", "fetch", profile)
        return self.cluster.kubectl_bytes(*command)
