"""GenAIProfiles of one model on a live cluster, as tests make and follow them."""

from typing import Any

from support.client_pod import ClientPod
from support.live_cluster import Object, wait_until
from support.model_resource import GROUP, ModelAccess

SECONDS = 180.0


class Profiles:
    """The profiles of a model."""

    def __init__(self, model: ModelAccess, client: ClientPod) -> None:
        self.model = model
        self._client = client

    def make(self, name: str, **spec: Any) -> None:
        """As `kubectl apply` does: creates it, or changes its spec."""
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "GenAIProfile",
            "metadata": {"name": name, "namespace": self.model.namespace},
            "spec": {"model": self.model.name, **spec},
        }
        self.model.cluster.apply(body)

    def status(self, name: str) -> Object:
        """Its status. Fails when it is not there."""
        found = self.model.cluster.get("GenAIProfile", name, self.model.namespace)
        assert found is not None, f"GenAIProfile {name} is gone"
        return dict(found.get("status", {}))

    def wait(self, name: str, phase: str, seconds: float = SECONDS) -> Object:
        """Waits for a phase; returns the status."""

        def there() -> Object | None:
            status = self.status(name)
            return status if status.get("phase") == phase else None

        try:
            return wait_until(f"{name} {phase}", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status is {self.status(name)}") from None

    def wait_open(self, name: str, pods: int = 2) -> None:
        """Waits until the windows are open on so many pods."""

        def there() -> bool:
            return [pod["state"] for pod in self.status(name).get("pods", [])] == ["Open"] * pods

        try:
            wait_until(f"{name} open on {pods} pods", there, SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; status is {self.status(name)}") from None

    def reasons(self, name: str) -> dict[str, str]:
        """Of each pod's window, by the pod's name."""
        return {pod["name"]: pod["reason"] for pod in self.status(name)["pods"]}

    def use(self, pods: list[Object] | None = None, tokens: int = 24) -> None:
        """A request on each pod."""
        for pod in self.model.pods() if pods is None else pods:
            self._client.ask(f"{pod['status']['podIP']}:9000", text="Tell me an endless story.", max_tokens=tokens)

    def in_pods(self, label: str) -> list[Object]:
        """What the pods themselves list of that label."""
        return [each for pod in self.model.pods() for each in self.model.profiles(pod["metadata"]["name"], label)]

    def delete(self, name: str) -> None:
        """Without waiting."""
        self.model.cluster.delete("GenAIProfile", name, self.model.namespace)
