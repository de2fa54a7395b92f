"""Tests of the cluster itself; they are about `CLUSTER=local` and not collected for another."""

from collections.abc import Iterator

import pytest

from localkube.cluster import Cluster
from localkube.local import LocalCluster

collect_ignore_glob = [] if Cluster.select().kind == "local" else ["*"]


@pytest.fixture(scope="session")
def local() -> LocalCluster:
    running = LocalCluster()
    running.up()
    return running


@pytest.fixture(scope="session")
def target() -> Cluster:
    return Cluster.connect()


@pytest.fixture(scope="module")
def namespace(target: Cluster) -> Iterator[str]:
    """A namespace that enforces Pod Security's `restricted`."""
    name = "localkube-test"
    target.kubectl("delete", "namespace", name, "--ignore-not-found")
    target.kubectl("create", "namespace", name)
    target.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    target.kubectl("delete", "namespace", name, "--wait=false")
