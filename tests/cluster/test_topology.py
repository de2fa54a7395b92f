"""Other ways to install the operator: two replicas, and named namespaces instead of the whole cluster."""

from collections.abc import Callable, Iterator

import pytest

from support import release
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess, genai_model


@pytest.fixture(autouse=True)
def installed_again(cluster: LiveCluster, operator: None) -> Iterator[None]:
    """Whatever a test does, the next one finds the operator as it was."""
    yield
    release.install(cluster)
    release.wait_working(cluster)


def holder(cluster: LiveCluster) -> str:
    lease = cluster.get("Lease", release.RELEASE, release.NAMESPACE)
    return str(lease["spec"].get("holderIdentity", "")) if lease else ""


def operators(cluster: LiveCluster) -> set[str]:
    pods = cluster.find("Pod", release.NAMESPACE, release.SELECTOR)
    return {pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}


def test_of_two_replicas_the_other_takes_over(cluster: LiveCluster, apply_model: Callable[..., ModelAccess]) -> None:
    release.install(cluster, "replicas=2")
    there = lambda: len(operators(cluster)) == 2 and holder(cluster) in operators(cluster)  # noqa: E731
    wait_until("two operators, one of them at work", there, 240)
    assert cluster.get("PodDisruptionBudget", release.RELEASE, release.NAMESPACE) is not None
    first = holder(cluster)
    # Killed, not told: the Lease is not given back and has to run out.
    cluster.delete("Pod", first, release.NAMESPACE, grace_seconds=0)
    wait_until("the other holds the Lease", lambda: holder(cluster) in operators(cluster) - {first}, 240)
    model = apply_model(replicas=0)
    model.wait_condition("Accepted", "True", seconds=120)


def test_named_namespaces_are_all_it_may_touch(
    cluster: LiveCluster, namespace: str, new_namespace: Callable[[], str]
) -> None:
    elsewhere = new_namespace()
    release.install(cluster, f"watchNamespaces={{{namespace}}}")
    release.wait_working(cluster)
    for each in (elsewhere, namespace):
        cluster.create(genai_model("hello", each))
    ModelAccess(cluster, "hello", namespace).wait_ready()
    assert "status" not in ModelAccess(cluster, "hello", elsewhere).get()
    account = f"system:serviceaccount:{release.NAMESPACE}:{release.RELEASE}"
    allowed = cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", elsewhere)
    assert "genaimodels" not in allowed
    assert "deployments" not in allowed
    # The release's own test makes its model where the operator looks.
    assert "Succeeded" in cluster.helm("test", release.RELEASE, "-n", release.NAMESPACE, "--timeout", "4m")


def test_back_to_the_whole_cluster(cluster: LiveCluster, apply_model: Callable[..., ModelAccess]) -> None:
    assert cluster.get("PodDisruptionBudget", release.RELEASE, release.NAMESPACE) is None
    apply_model(replicas=0).wait_condition("Accepted", "True", seconds=120)
