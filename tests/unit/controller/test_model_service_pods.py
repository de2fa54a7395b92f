"""ModelService and live pods: what they are told, what is reported of them, and that no pod delays another."""

import asyncio

import pytest

from genai_operator.errors import ClusterUnavailable, PodRejected, PodUnreachable
from genai_operator.status import retries
from support.model_world import KEY, World


@pytest.fixture
def world() -> World:
    return World()


async def test_every_pod_is_told_once_and_says_what_it_serves(world: World) -> None:
    world.put_model(replicas=2, annotations={"terminate-session": "1"})
    world.put_pod("hello-1")
    world.put_pod("hello-2", ready=False)
    world.put_pod("hello-3", ready=False, running=False)
    await world.settle()
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.2"]
    assert all(options.terminate_session for _, _, options in world.pods.told)
    assert world.pods.names == {"hello.team.control.genai-operator.io"}
    assert world.status()["runtimeOptions"]["applied"] == "2/3"
    assert world.status()["effective"]["provider"] == "cpu"
    world.kube.writes.clear()
    await world.service.reconcile(KEY)
    assert (world.kube.writes, len(world.pods.told)) == ([], 2)


async def test_a_restarted_container_and_a_new_pod_are_told_again(world: World) -> None:
    world.put_model(annotations={"terminate-session": "1"})
    world.put_pod("hello-1")
    await world.settle()
    world.put_pod("hello-1", container="c2")
    world.put_pod("hello-2")
    await world.settle()
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]
    assert world.status()["runtimeOptions"]["applied"] == "2/2"
    world.kube.remove("Pod", "team", "hello-1")
    await world.settle()
    assert world.pods.forgotten == ["10.0.0.1"]


async def test_options_go_out_before_anything_is_written_and_a_pod_that_hangs_delays_nobody(world: World) -> None:
    world.put_model()
    world.put_pod("hello-1")
    world.put_pod("hello-2")
    await world.settle()
    world.pods.hanging.add("10.0.0.1")
    world.pods.told.clear()
    world.kube.failures[("apply", "Deployment")] = ClusterUnavailable("no answer")
    world.put_model(annotations={"terminate-session": "1"}, generation={"maxTokens": 77})
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.2"]
    world.put_model(annotations={"terminate-session": "0"}, generation={"maxTokens": 77})
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert [options.terminate_session for ip, _, options in world.pods.told if ip == "10.0.0.1"] == [True, False]
    await world.live.close()


async def test_a_pod_that_cannot_be_reached_is_reported_and_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 30.0)  # longer than this test on a busy machine
    world.pods.failures["10.0.0.1"] = PodUnreachable("no route")
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Unreachable")
    assert len(world.pods.told) == 1
    assert world.delays
    writes = len(world.kube.writes)
    await world.service.reconcile(KEY)
    assert (len(world.pods.told), len(world.kube.writes)) == (1, writes)


async def test_a_pods_refusal_is_final_until_the_options_change(world: World) -> None:
    world.pods.failures["10.0.0.1"] = PodRejected("no such option")
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    await world.service.reconcile(KEY)
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Rejected")
    assert len(world.pods.told) == 1
    del world.pods.failures["10.0.0.1"]
    world.put_model(annotations={"enable-profiling": "slow"})
    await world.settle()
    assert world.condition("RuntimeOptionsApplied")[:2] == ("True", "Applied")


@pytest.mark.parametrize("value", ["", "yes", "../../x", "x" * 102400, "🙂", "2"])
async def test_a_bad_value_leaves_pods_untouched_and_says_rejected(world: World, value: str) -> None:
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    world.pods.told.clear()
    world.put_model(annotations={"terminate-session": value})
    await world.settle()
    assert world.pods.told == []
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Rejected")


async def test_another_controllers_request_in_the_status_is_obeyed_and_kept(world: World) -> None:
    body = world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    body = world.kube.find("GenAIModel", "hello") or {}
    body["status"]["requestedRuntimeOptions"] = {"terminateSession": "1"}
    world.kube.put(body)
    await world.settle()
    assert world.pods.told[-1][2].terminate_session
    assert world.status()["requestedRuntimeOptions"] == {"terminateSession": "1"}
