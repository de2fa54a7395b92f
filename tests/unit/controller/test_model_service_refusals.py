"""A child that the API server refuses: told in the status, tried again ever more seldom, at once when it changed."""

import pytest

from genai_operator.errors import ClusterConflict, ClusterRejected
from genai_operator.services.children import Children, Wanted
from support.fake_kube import FakeKube
from support.model_world import KEY, World

QUOTA = 'services "hello" is forbidden: exceeded quota: none, requested: count/services=1'
INVALID = 'Deployment.apps "hello" is invalid: spec.template.spec.containers[0].resources'
POLICY = 'admission webhook "policy.example" denied the request: no'


@pytest.fixture
def world() -> World:
    return World()


def attempts(world: World, kind: str) -> int:
    return sum(write[:2] == ("apply", kind) for write in world.kube.writes)


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        ("Service", QUOTA, "QuotaExceeded"),
        ("Deployment", INVALID, "InvalidSpec"),
        ("Deployment", POLICY, "AdmissionDenied"),
        ("Secret", POLICY, "AdmissionDenied"),
    ],
)
async def test_a_refused_child_is_told_with_the_api_servers_words(
    world: World, kind: str, said: str, reason: str
) -> None:
    world.kube.failures[("apply", kind)] = ClusterRejected(f"PATCH /x: 403 {said}", said=said)
    world.put_model(replicas=0)
    await world.settle()
    status, told, message = world.condition("Accepted")
    assert (status, told) == ("False", reason)
    assert said in message
    assert "PATCH" not in message
    assert world.condition("Ready")[0] == "False"
    assert world.condition("Degraded")[:2] == ("True", reason)


async def test_a_refused_child_is_not_sent_again_before_its_time_and_at_once_when_it_changed(world: World) -> None:
    world.kube.failures[("apply", "Deployment")] = ClusterRejected("403", said=POLICY)
    world.put_model(replicas=0)
    await world.settle()
    writes = list(world.kube.writes)
    for _ in range(5):
        assert (await world.service.reconcile(KEY) or 0) > 0.5
    assert world.kube.writes == writes
    world.put_model(replicas=0, generation={"maxTokens": 77})
    await world.settle()
    assert attempts(world, "Deployment") == 2
    world.kube.failures.clear()
    world.put_model(replicas=0, generation={"maxTokens": 78})
    await world.settle()
    assert world.condition("Accepted")[:2] == ("True", "Accepted")


async def test_pauses_grow_to_two_minutes_and_a_success_ends_them() -> None:
    world, now = World(), 1000.0
    children = Children(world.service._kube, world.cache, clock=lambda: now)
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hello", "namespace": "team"}}
    wanted = [Wanted.of(manifest)]
    world.kube.failures[("apply", "Service")] = ClusterRejected("403", said=QUOTA)
    pauses = []
    for _ in range(12):
        hindrance = await children.converge(KEY, "uid", wanted, suspect=False)
        assert hindrance is not None
        assert "exceeded quota" in hindrance.refusal
        pauses.append(hindrance.again)
        now += hindrance.again
    assert attempts(world, "Service") == 12
    assert 0.75 <= pauses[0] <= 1.25
    assert all(90 <= pause <= 150 for pause in pauses[8:])
    world.kube.failures.clear()
    assert await children.converge(KEY, "uid", wanted, suspect=False) is None
    assert isinstance(world.kube, FakeKube)
    assert world.kube.find("Service", "hello") is not None


async def test_a_conflict_is_tried_again_and_told_only_when_it_goes_on(world: World) -> None:
    world.kube.failures[("apply", "Deployment")] = ClusterConflict("409", said="the object has been modified")
    world.put_model(replicas=0)
    for _ in range(3):
        with pytest.raises(ClusterConflict):
            await world.service.reconcile(KEY)
    assert "status" not in (world.kube.find("GenAIModel", "hello") or {})
    assert (await world.service.reconcile(KEY) or 0) > 0.5
    assert world.condition("Accepted")[:2] == ("False", "AdmissionDenied")


async def test_one_models_refusal_does_not_touch_another_model(world: World) -> None:
    world.kube.failures[("apply", "Service")] = ClusterRejected("403", said=QUOTA)
    world.put_model(replicas=0)
    await world.settle()
    world.kube.failures.clear()
    world.put_model("other", replicas=0)
    await world.settle()
    assert world.condition("Accepted", "other")[:2] == ("True", "Accepted")
