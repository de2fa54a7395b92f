"""The cluster, the installed operator and places to put models, for every cluster test.

The operator is installed once, by its chart. Namespaces enforce Pod Security's `restricted`, have names of their own,
and are deleted without waiting.
"""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from localkube.cluster import Cluster
from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster
from support.model_resource import ModelAccess, genai_model

ConnectModel = Callable[..., ModelAccess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a cluster."""
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> LiveCluster:
    """The cluster that CLUSTER names."""
    chosen = Cluster.select()
    assert chosen.kind != "current" or os.environ.get("GENAI_TESTS_OWN_CLUSTER"), (
        "these tests uninstall the operator and delete all GenAIModels; if CLUSTER=current may suffer that, "
        "set GENAI_TESTS_OWN_CLUSTER=1"
    )
    return LiveCluster.connect()


@pytest.fixture(scope="session")
def operator(cluster: LiveCluster) -> None:
    """The operator, freshly started from the images that the cluster has."""
    cluster.make_namespace(release.NAMESPACE)
    release.install(cluster)
    release.restart(cluster)


@pytest.fixture(scope="session")
def new_namespace(cluster: LiveCluster, operator: None) -> Iterator[Callable[[], str]]:
    """Makes namespaces that are deleted when the session ends."""
    made: list[str] = []

    def make() -> str:
        made.append(f"genai-test-{uuid.uuid4().hex[:8]}")
        cluster.make_namespace(made[-1])
        return made[-1]

    yield make
    for name in made:
        cluster.delete("Namespace", name)


@pytest.fixture
def namespace(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[str]:
    """A namespace of this test alone, deleted after it."""
    name = new_namespace()
    yield name
    cluster.delete("Namespace", name)


@pytest.fixture(scope="session")
def client(cluster: LiveCluster, new_namespace: Callable[[], str]) -> ClientPod:
    """A gRPC client in a pod."""
    pod = ClientPod(cluster, new_namespace())
    pod.make()
    return pod


@pytest.fixture
def apply_model(cluster: LiveCluster, namespace: str) -> ConnectModel:
    """Makes a model in the test's namespace, without waiting for anything."""

    def make(name: str = "hello", annotations: dict[str, str] | None = None, **spec: object) -> ModelAccess:
        cluster.create(genai_model(name, namespace, annotations, **spec))
        return ModelAccess(cluster, name, namespace)

    return make


@pytest.fixture(scope="module")
def shared_model(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[ModelAccess]:
    """A Ready model of one replica for the tests of one module; they leave it as they found it."""
    model = ModelAccess(cluster, "hello", new_namespace())
    cluster.create(genai_model(model.name, model.namespace))
    model.wait_ready()
    yield model
    cluster.delete("Namespace", model.namespace)  # an idle pod is still asked for its health every second
