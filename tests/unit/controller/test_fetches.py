"""Asking pods how far their fetch is: who is asked, how often, and that it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_operator.clients.fetch import FetchReply
from genai_operator.constants import LABEL_MODEL
from genai_operator.errors import PodUnreachable
from support.model_world import KEY, World

HALF = FetchReply("Fetching", 500, 1000, 10.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    made.put_model(model={"uri": "hf://org/name"})
    yield made
    await made.fetches.close()
    await made.live.close()


def put_pod(world: World, name: str, initial: dict[str, Any], container: str = "f1") -> None:
    world.kube.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "team", "labels": {LABEL_MODEL: "hello"}},
            "status": {
                "phase": "Pending",
                "podIP": f"10.0.0.{name[-1]}",
                "initContainerStatuses": [{"name": "fetch", "containerID": container, "state": initial}],
                "containerStatuses": [{"name": "model", "state": {"waiting": {"reason": "PodInitializing"}}}],
            },
        }
    )


async def test_a_pod_that_fetches_is_asked_and_the_status_says_how_far_it_is(world: World) -> None:
    world.pods.fetched["10.0.0.1"] = [HALF]
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    assert world.status()["model"]["progress"]["percent"] == 50
    assert world.condition("Ready")[1] == "Fetching"
    # Until its next turn it is not asked, however many passes there are; the next pass is asked for.
    for _ in range(3):
        await world.service.reconcile(KEY)
    assert world.pods.asked == ["10.0.0.1"]
    assert 0 < world.delays[-1] <= 2.0
    # It is the init container that was asked: it knows no runtime options.
    assert world.pods.told == []


async def test_once_no_pod_fetches_none_is_asked_and_no_pass_is_asked_for(world: World) -> None:
    world.pods.fetched["10.0.0.1"] = [HALF]
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    put_pod(world, "p1", {"terminated": {"exitCode": 0, "message": '{"digest": "0a", "files": 2}'}})
    await world.settle()
    world.delays.clear()
    for _ in range(3):
        await world.service.reconcile(KEY)
    assert world.delays == []
    assert world.pods.asked == ["10.0.0.1"]
    assert world.fetches.told(KEY) == {}
    model = world.status()["model"]
    assert (model["state"], model["digest"], model["files"]) == ("Fetched", "0a", 2)


async def test_a_pod_that_does_not_answer_is_asked_again_later_and_is_fetching_all_the_same(world: World) -> None:
    world.pods.failures["10.0.0.1"] = PodUnreachable("silent")
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    assert world.pods.asked == ["10.0.0.1"]
    assert world.delays
    assert world.status()["model"] == {"state": "Fetching"}


async def test_another_container_of_the_pod_is_asked_at_once(world: World) -> None:
    world.pods.fetched["10.0.0.1"] = [HALF, FetchReply("Resolving", 0, 0, 0.0)]
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    put_pod(world, "p1", {"running": {}}, container="f2")
    await world.settle()
    assert len(world.pods.asked) == 2
    assert not world.status()["model"].get("progress")


async def test_a_pod_that_is_gone_is_forgotten_with_its_channel(world: World) -> None:
    world.pods.fetched["10.0.0.1"] = [HALF]
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    world.kube.remove("Pod", "team", "p1")
    await world.settle()
    assert world.fetches.told(KEY) == {}
    assert "10.0.0.1" in world.pods.forgotten


async def test_a_model_that_is_gone_is_forgotten(world: World) -> None:
    world.pods.fetched["10.0.0.1"] = [HALF]
    put_pod(world, "p1", {"running": {}})
    await world.settle()
    world.kube.remove("GenAIModel", "team", "hello")
    await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert world.fetches.told(KEY) == {}
