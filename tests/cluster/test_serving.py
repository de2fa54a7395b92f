"""A model's children, what the operator does about changes by others, and what it does not write."""

import time
from collections.abc import Callable

import pytest

from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import GROUP, ModelAccess, genai_model

CHILDREN = (
    ("Deployment", "hello"),
    ("Service", "hello"),
    ("Service", "hello-headless"),
    ("ServiceAccount", "hello-model"),
)


def child(model: ModelAccess, kind: str, name: str) -> Object:
    found = model.cluster.get(kind, name, model.namespace)
    assert found is not None, f"{kind} {name} is not there"
    return found


def versions(model: ModelAccess) -> dict[str, str]:
    """resourceVersion of everything that belongs to the model and changes only when somebody writes it."""
    objects = [child(model, kind, name) for kind, name in (*CHILDREN, ("Secret", "hello-control-tls"))]
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for each in [*objects, model.get()]
    }


def test_a_client_gets_the_models_answer(shared_model: ModelAccess, client: ClientPod) -> None:
    answer, code = client.ask(shared_model.address)
    assert (answer.strip(), code) == ("The capital of France is Paris.", "OK")


def test_status_says_what_serves(shared_model: ModelAccess) -> None:
    status = shared_model.status()
    assert status["endpoints"]["grpc"] == shared_model.address
    assert status["effective"]["provider"] == "cpu"
    assert status["effective"]["engine"] == "batch"
    assert status["replicas"] == status["readyReplicas"] == 1
    assert {each["type"] for each in status["conditions"] if each["status"] == "True"} >= {"Accepted", "Ready"}
    assert all(each["reason"] for each in status["conditions"])


def test_children_belong_to_the_model_and_nothing_has_a_finalizer(shared_model: ModelAccess) -> None:
    assert not shared_model.get()["metadata"].get("finalizers")
    for kind, name in CHILDREN:
        metadata = child(shared_model, kind, name)["metadata"]
        assert [owner["kind"] for owner in metadata["ownerReferences"]] == ["GenAIModel"]
        assert not metadata.get("finalizers")


def test_pods_have_no_credentials_and_hold_the_restricted_profile(shared_model: ModelAccess) -> None:
    (pod,) = shared_model.pods()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not [volume for volume in pod["spec"]["volumes"] if "serviceAccountToken" in str(volume)]
    labels = child(shared_model, "Namespace", shared_model.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("kind", "name"), CHILDREN)
def test_a_deleted_child_comes_back(shared_model: ModelAccess, kind: str, name: str) -> None:
    before = child(shared_model, kind, name)["metadata"]["uid"]
    shared_model.cluster.delete(kind, name, shared_model.namespace)

    def again() -> bool:
        found = shared_model.cluster.get(kind, name, shared_model.namespace)
        return found is not None and found["metadata"]["uid"] != before

    wait_until(f"{kind} {name} made again", again, 20)
    shared_model.wait_ready()


def test_a_changed_child_is_put_right(shared_model: ModelAccess) -> None:
    cluster, namespace = shared_model.cluster, shared_model.namespace
    cluster.patch("Deployment", "hello", namespace, {"spec": {"replicas": 0}})
    cluster.patch("Service", "hello", namespace, {"spec": {"selector": {f"{GROUP}/model": "another"}}})

    def right() -> bool:
        replicas = child(shared_model, "Deployment", "hello")["spec"]["replicas"]
        selected = child(shared_model, "Service", "hello")["spec"]["selector"][f"{GROUP}/model"]
        return (replicas, selected) == (1, "hello")

    wait_until("replicas and selector put right", right, 20)
    shared_model.wait_ready()


def test_a_restarted_operator_writes_nothing_when_nothing_changed(shared_model: ModelAccess) -> None:
    shared_model.wait_ready()
    before, status = settled(shared_model), shared_model.status()
    # A new operator has seen nothing yet: it reconciles every model.
    release.restart(shared_model.cluster)
    # A model that is made now is behind all others in the operator's queue.
    cluster, namespace = shared_model.cluster, shared_model.namespace
    cluster.create(genai_model("last", namespace, replicas=0))
    ModelAccess(cluster, "last", namespace).wait_condition("Accepted", "True")
    cluster.delete("GenAIModel", "last", namespace)
    assert shared_model.status() == status
    assert versions(shared_model) == before


def settled(model: ModelAccess) -> dict[str, str]:
    """The versions, once nobody has written for two seconds."""
    seen: list[tuple[float, dict[str, str]]] = []

    def same_for_long() -> bool:
        now = versions(model)
        if not seen or seen[-1][1] != now:
            seen.append((time.monotonic(), now))
        return time.monotonic() - seen[-1][0] > 2

    wait_until("nothing in motion", same_for_long, 30)
    return seen[-1][1]


def test_scale_subresource_and_disruption_budget(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model()
    model.wait_ready()
    assert model.cluster.get("PodDisruptionBudget", "hello", model.namespace) is None
    model.cluster.kubectl("scale", "genaimodel/hello", "-n", model.namespace, "--replicas=2")
    model.wait_ready(2)
    assert child(model, "PodDisruptionBudget", "hello")["spec"]["selector"]
    scale = model.cluster.kubectl(
        "get", "genaimodel/hello", "-n", model.namespace, "--subresource=scale", "-o", "jsonpath={.status}"
    )
    assert f"{GROUP}/model=hello" in scale
    model.cluster.kubectl("scale", "genaimodel/hello", "-n", model.namespace, "--replicas=1")
    model.wait_ready(1)
    budget = lambda: model.cluster.get("PodDisruptionBudget", "hello", model.namespace) is None  # noqa: E731
    wait_until("the disruption budget gone", budget, 20)


def test_paused_means_hands_off(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(replicas=0)
    wait_until("the deployment", lambda: model.cluster.get("Deployment", "hello", model.namespace), 20)
    model.annotate("pause-reconciliation", "true")
    model.wait_condition("Progressing", "False", "Paused", 20)
    generation = child(model, "Deployment", "hello")["metadata"]["generation"]
    model.patch_spec(replicas=1)
    model.cluster.delete("Service", "hello", model.namespace)
    # Another model's whole way shows that the operator had time to act on this one.
    other = apply_model("other", replicas=0)
    wait_until("the other's deployment", lambda: model.cluster.get("Deployment", "other", model.namespace), 20)
    assert other.name == "other"
    assert child(model, "Deployment", "hello")["metadata"]["generation"] == generation
    assert model.cluster.get("Service", "hello", model.namespace) is None
    model.annotate("pause-reconciliation", None)
    model.wait_ready(1)


def test_a_foreign_object_of_the_same_name_is_left_alone(
    cluster: LiveCluster, namespace: str, apply_model: Callable[..., ModelAccess]
) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": namespace},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "somebody-else"}},
    }
    cluster.create(foreign)
    model = apply_model()
    said = model.wait_condition("Ready", "False", "NameConflict", 30)
    assert "Service" in said["message"]
    assert "hello" in said["message"]
    assert child(model, "Service", "hello")["spec"]["selector"] == {"app": "somebody-else"}
    assert cluster.get("Deployment", "hello", namespace) is None  # no partial children
    cluster.delete("Service", "hello", namespace)
    cluster.patch("GenAIModel", "hello", namespace, {"metadata": {"labels": {"try": "again"}}})
    model.wait_ready()


def test_deleting_a_model_deletes_everything(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(replicas=0)
    wait_until("the deployment", lambda: model.cluster.get("Deployment", "hello", model.namespace), 20)
    model.cluster.delete("GenAIModel", "hello", model.namespace)
    names = (*CHILDREN, ("Secret", "hello-control-tls"))
    gone = lambda: not [1 for kind, name in names if model.cluster.get(kind, name, model.namespace)]  # noqa: E731
    wait_until("all children collected", gone, 60)
