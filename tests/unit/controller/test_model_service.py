"""ModelService on a fake API server: children and status in one pass, level-triggered, nothing written without need."""

from typing import cast

import pytest

from genai_operator.clients.kube import KubeClient
from genai_operator.errors import ClusterUnavailable
from genai_operator.services.models import ModelService, PodCalls
from genai_operator.settings import OperatorSettings
from support.model_world import AUTHORITY, CHILDREN, KEY, World


@pytest.fixture
def world() -> World:
    return World()


async def test_a_model_gets_all_children_in_the_order_pods_need_them_and_a_status(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    assert world.children() == CHILDREN
    applied = [name for verb, kind, name in world.kube.writes if verb == "apply"]
    assert applied == ["hello-model", "hello-control-tls", "hello", "hello-headless", "hello"]
    assert world.condition("Accepted")[:2] == ("True", "Accepted")
    assert world.condition("Ready")[:2] == ("False", "ScaledToZero")
    assert world.status()["runtimeOptions"]["applied"] == "0/0"


async def test_a_pass_without_a_change_sends_nothing(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.kube.writes.clear()
    for _ in range(3):
        await world.service.reconcile(KEY)
    assert world.kube.writes == []


async def test_a_restarted_operator_changes_no_object(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    versions = {key: body["metadata"]["resourceVersion"] for key, body in world.kube.objects.items()}
    again = World()
    again.kube = world.kube
    again.kube.watchers[:] = [again._observe]
    kube = cast(KubeClient, again.kube)
    again.service = ModelService(
        kube, again.cache, PodCalls(again.live, again.gate, again.fetches, again.builds), AUTHORITY, OperatorSettings()
    )
    for body in list(again.kube.objects.values()):
        again.kube._tell("ADDED", body)
    await again.settle()
    assert {key: body["metadata"]["resourceVersion"] for key, body in world.kube.objects.items()} == versions


async def test_an_edit_changes_the_deployment_and_nothing_else(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.kube.writes.clear()
    world.put_model(replicas=0, generation={"maxTokens": 77})
    await world.settle()
    assert [write for write in world.kube.writes if write[0] == "apply"] == [("apply", "Deployment", "hello")]


async def test_drift_is_repaired_whoever_caused_it(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    deployment = world.kube.find("Deployment", "hello")
    assert deployment is not None
    deployment["spec"]["replicas"] = 9
    world.kube.put(deployment)
    world.kube.remove("Service", "team", "hello-headless")
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 0
    assert world.children() == CHILDREN


async def test_a_child_that_is_no_longer_wanted_is_deleted(world: World) -> None:
    world.put_model(replicas=2)
    await world.settle()
    assert ("PodDisruptionBudget", "hello") in world.children()
    world.put_model(replicas=1)
    await world.settle()
    assert world.children() == CHILDREN


@pytest.mark.parametrize(("kind", "name"), CHILDREN)
async def test_a_foreign_object_of_a_childs_name_is_left_alone_and_named(world: World, kind: str, name: str) -> None:
    version = "apps/v1" if kind == "Deployment" else "v1"
    foreign = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "team"}, "data": {"a": "b"}}
    world.kube.put(foreign)
    world.put_model(replicas=0)
    assert await world.service.reconcile(KEY) is not None  # no event tells when the foreign object goes
    status, reason, message = world.condition("Accepted")
    assert (status, reason) == ("False", "NameConflict")
    assert name in message
    assert (world.kube.find(kind, name) or {})["data"] == {"a": "b"}
    if kind != "Secret":  # a Secret cannot be read: it is found when it is applied, after the ServiceAccount
        assert world.children() == [(kind, name)]
    world.kube.remove(kind, "team", name)
    world.woken.add(KEY)
    await world.settle()
    assert world.children() == CHILDREN
    assert world.condition("Accepted")[:2] == ("True", "Accepted")


async def test_children_of_a_deleted_model_of_the_same_name_are_waited_for(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    old = {kind: world.kube.find(kind, name) for kind, name in CHILDREN}
    world.kube.remove("GenAIModel", "team", "hello")
    await world.settle()
    world.put_model(replicas=0)
    await world.settle()
    assert world.condition("Accepted")[1] == "NameConflict"
    for kind, name in CHILDREN:
        world.kube.remove(kind, "team", name)
    await world.settle()
    assert world.condition("Accepted")[1] == "Accepted"
    assert (world.kube.find("Deployment", "hello") or {})["metadata"]["uid"] != (old["Deployment"] or {})["metadata"][
        "uid"
    ]


async def test_an_invalid_spec_says_so_and_touches_neither_children_nor_other_models(world: World) -> None:
    world.put_model(replicas=0)
    world.put_model("bad", replicas="many")
    await world.settle()
    status, reason, message = world.condition("Accepted", "bad")
    assert (status, reason) == ("False", "InvalidSpec")
    assert "spec.replicas" in message
    assert world.children() == CHILDREN
    world.put_model(model={"uri": "../x"})
    await world.settle()
    assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")
    assert world.children() == CHILDREN


async def test_a_paused_model_keeps_its_children_as_they_are(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.put_model(annotations={"pause-reconciliation": "true"}, replicas=5)
    world.kube.remove("Service", "team", "hello")
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 0
    assert ("Service", "hello") not in world.children()
    assert world.condition("Progressing")[:2] == ("False", "Paused")
    world.put_model(replicas=5)
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 5
    assert ("Service", "hello") in world.children()


async def test_events_tell_transitions_once(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    for _ in range(3):
        await world.service.reconcile(KEY)
    world.put_model(model={"uri": "../x"})
    await world.settle()
    events = [body for (kind, _, _), body in world.kube.objects.items() if kind == "Event"]
    reasons = [event["reason"] for event in events]
    assert len(reasons) == len(set(zip(reasons, (event["message"] for event in events), strict=True)))
    assert "InvalidSpec" in reasons
    assert all(event["involvedObject"]["name"] == "hello" for event in events)


async def test_an_event_that_cannot_be_posted_is_no_failure(world: World) -> None:
    world.kube.failures[("create", "Event")] = ClusterUnavailable("no answer")
    world.put_model(model={"uri": "../x"})
    await world.settle()
    assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")


async def test_what_the_api_server_does_not_take_is_tried_again_and_leaves_the_rest(world: World) -> None:
    world.kube.failures[("apply", "Service")] = ClusterUnavailable("no answer")
    world.put_model(replicas=0)
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    world.kube.failures.clear()
    await world.settle()
    assert world.children() == CHILDREN


async def test_a_deleted_model_is_left_alone_and_forgotten(world: World) -> None:
    world.put_model(replicas=0)
    world.put_pod("hello-1")
    await world.settle()
    world.kube.remove("GenAIModel", "team", "hello")
    world.kube.writes.clear()
    await world.settle()
    assert (world.kube.writes, world.live.answers(KEY)) == ([], {})


async def test_the_deployments_controller_is_waited_for_before_the_status_is_written(world: World) -> None:
    def statuses() -> int:
        return sum(verb == "apply-status" for verb, _, _ in world.kube.writes)

    world.put_model(replicas=0)
    assert 0 < (await world.service.reconcile(KEY) or 0) < 1
    assert statuses() == 1  # what became of live options does not wait
    deployment = world.kube.find("Deployment", "hello")
    assert deployment is not None
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"]}
    world.kube.put(deployment)
    assert await world.service.reconcile(KEY) is None
    assert statuses() == 2
    assert world.condition("Progressing")[:2] == ("False", "Complete")
