"""The release's own life: its test, an upgrade, an uninstall that keeps the models, and one that does not.

Runs last of this folder: at its end the operator and its resource are gone and made again.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess

CA = f"{release.RELEASE}-control-ca"
CRD = "genaimodels.genai-operator.io"
ANSWER = ("The capital of France is Paris.", "OK")


@pytest.fixture(autouse=True)
def installed_again(cluster: LiveCluster, operator: None) -> Iterator[None]:
    """Whatever a test does, the next one finds the operator as it was."""
    yield
    release.install(cluster)
    release.wait_working(cluster)


def short_names(cluster: LiveCluster) -> list[str]:
    definition = cluster.get("CustomResourceDefinition", CRD)
    assert definition is not None
    return list(definition["spec"]["names"]["shortNames"])


def authority(cluster: LiveCluster) -> str:
    secret = cluster.get("Secret", CA, release.NAMESPACE)
    assert secret is not None
    return str(secret["data"]["tls.crt"])


def test_helm_test_generates_an_answer_and_leaves_nothing(cluster: LiveCluster) -> None:
    output = cluster.helm("test", release.RELEASE, "-n", release.NAMESPACE, "--timeout", "4m")
    assert "Succeeded" in output
    test = f"{release.RELEASE}-test"
    kinds = ("Pod", "GenAIModel", "Deployment", "ServiceAccount")
    gone = lambda: not [kind for kind in kinds if cluster.get(kind, test, release.NAMESPACE)]  # noqa: E731
    wait_until("the test's objects gone", gone, 240)


def test_upgrade_keeps_the_authority_and_the_pods(
    cluster: LiveCluster, shared_model: ModelAccess, tmp_path: Path
) -> None:
    before = authority(cluster), [pod["metadata"]["uid"] for pod in shared_model.pods()]
    older = tmp_path / "chart"
    shutil.copytree(release.CHART, older)
    source = older / "crds-source" / "genaimodels.yaml"
    source.write_text(source.read_text().replace("- gaim", "- old"))
    release.install(cluster, chart=older)
    assert short_names(cluster) == ["old"]
    release.install(cluster, "podLabels.upgraded=yes")
    assert short_names(cluster) == ["gaim"]
    release.wait_working(cluster)
    assert (authority(cluster), [pod["metadata"]["uid"] for pod in shared_model.pods()]) == before
    shared_model.annotate("terminate-session", "1")
    shared_model.wait_condition("Ready", "False", "Halted", 120)
    shared_model.annotate("terminate-session", None)
    shared_model.wait_ready()


def test_uninstall_keeps_models_serving_and_a_new_install_takes_them_over(
    cluster: LiveCluster, shared_model: ModelAccess, client: ClientPod
) -> None:
    shared_model.wait_ready()
    before = authority(cluster), [pod["metadata"]["uid"] for pod in shared_model.pods()]
    cluster.helm("uninstall", release.RELEASE, "-n", release.NAMESPACE, "--wait")
    assert cluster.get("Deployment", release.RELEASE, release.NAMESPACE) is None
    assert client.ask(shared_model.address) == ANSWER
    release.install(cluster)
    release.wait_working(cluster)
    shared_model.annotate("terminate-session", "1")
    shared_model.wait_condition("Ready", "False", "Halted", 120)
    shared_model.annotate("terminate-session", None)
    shared_model.wait_ready()
    assert (authority(cluster), [pod["metadata"]["uid"] for pod in shared_model.pods()]) == before


def test_uninstall_without_keep_removes_every_model(cluster: LiveCluster, shared_model: ModelAccess) -> None:
    release.install(cluster, "crds.keep=false")
    cluster.helm("uninstall", release.RELEASE, "-n", release.NAMESPACE)
    gone = lambda: cluster.get("CustomResourceDefinition", CRD) is None  # noqa: E731
    wait_until("the resource's definition gone", gone, 240)
    wait_until("the model's pods gone", lambda: not shared_model.pods(), 240)
