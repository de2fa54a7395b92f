"""The gate with everything around it: who is measured, what is written into pods, what a failure does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_operator.constants import CONDITION_MEASURED
from genai_operator.errors import PodUnreachable
from support.model_world import KEY, World

GATE = {"gate": {"prompts": ["Hello"], "maxTokens": 8}}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.gate.close()
    await made.live.close()


def put(world: World, name: str, template: str, created: str, *, ready: bool) -> None:
    """A pod with the gate whose container is ready; `ready`: the gate let it through long ago."""
    pod = world.put_pod(name, ready=ready, container=f"c-{name}")
    metadata = {**pod["metadata"], "creationTimestamp": f"2026-11-21T10:00:{created}Z"}
    metadata["labels"] = {**metadata["labels"], "pod-template-hash": template}
    gate = {"type": CONDITION_MEASURED, "status": "True", "reason": "Measured", "message": "old; gate x"}
    conditions = [*pod["status"]["conditions"], {"type": "ContainersReady", "status": "True"}, *([gate] * ready)]
    spec = {"readinessGates": [{"conditionType": CONDITION_MEASURED}]}
    world.kube.put({**pod, "metadata": metadata, "spec": spec, "status": {**pod["status"], "conditions": conditions}})


def roll_out(world: World, **speeds: list[float]) -> None:
    """An old pod p1 that serves, and a new one p2, with these speeds of one measurement after the other."""
    world.pods.speeds = {"10.0.0.1": speeds["old"], "10.0.0.2": speeds["new"]}
    put(world, "p1", "old", "01", ready=True)
    put(world, "p2", "new", "02", ready=False)
    world.put_model(rollout=GATE)


def verdict(world: World, name: str) -> dict[str, Any]:
    pod = world.kube.find("Pod", name) or {}
    return next((each for each in pod["status"]["conditions"] if each["type"] == CONDITION_MEASURED), {})


async def settled(world: World, name: str = "p2") -> dict[str, Any]:
    """The pod's verdict, as soon as it is there and the model has been looked at again."""
    while not verdict(world, name):
        await world.settle()
    await world.settle()
    return verdict(world, name)


async def test_a_pod_as_fast_as_the_old_ones_takes_traffic(world: World) -> None:
    roll_out(world, old=[100.0], new=[95.0])
    said = await settled(world)
    assert (said["status"], said["reason"]) == ("True", "Measured")
    assert world.pods.measured == ["10.0.0.1", "10.0.0.2"]
    assert verdict(world, "p1")["message"] == "old; gate x"


async def test_a_slower_pod_blocks_the_roll_out_after_a_second_look(world: World) -> None:
    roll_out(world, old=[100.0], new=[50.0])
    said = await settled(world)
    assert (said["status"], said["reason"]) == ("False", "Regressed")
    assert world.pods.measured == ["10.0.0.1", "10.0.0.2"] * 2
    status, reason, message = world.condition("Progressing")
    assert (status, reason) == ("False", "RolloutBlocked")
    assert message.startswith("regression 50% in MatMul (old 100 tok/s, new 50 tok/s")
    assert any(event["reason"] == "RolloutBlocked" for event in events(world))
    world.pods.measured.clear()
    for _ in range(3):
        await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert world.pods.measured == []


async def test_a_bad_moment_is_no_regression(world: World) -> None:
    roll_out(world, old=[100.0], new=[50.0, 99.0])
    assert (await settled(world))["status"] == "True"


async def test_a_changed_gate_measures_again(world: World) -> None:
    roll_out(world, old=[100.0], new=[50.0])
    await settled(world)
    world.put_model(rollout={"gate": {**GATE["gate"], "maxRegressionPercent": 60}})
    while verdict(world, "p2")["status"] != "True":
        await world.settle()
    await world.settle()
    assert world.condition("Progressing")[1] != "RolloutBlocked"


async def test_the_first_pod_is_let_through_unmeasured(world: World) -> None:
    put(world, "p2", "new", "02", ready=False)
    world.put_model(rollout=GATE)
    said = await settled(world)
    assert (said["status"], said["reason"]) == ("True", "NothingToCompare")
    assert world.pods.measured == []


async def test_a_pod_that_cannot_be_measured_waits_and_says_why(world: World) -> None:
    roll_out(world, old=[100.0], new=[100.0])
    world.pods.failures["10.0.0.2"] = PodUnreachable("Measure on pod 10.0.0.2: UNAVAILABLE halted")
    while "waits to be measured" not in world.gate.told(KEY):
        await world.settle()
    assert not verdict(world, "p2")
    assert world.delays  # it will be tried again
    world.pods.failures.clear()
    world.gate._models[KEY].not_before = 0.0
    world.woken.add(KEY)
    assert (await settled(world))["status"] == "True"
    assert world.gate.told(KEY) == ""


async def test_an_old_pod_that_stays_busy_is_measured_all_the_same(world: World) -> None:
    world.pods.busy = 7
    roll_out(world, old=[100.0], new=[100.0])
    assert (await settled(world))["status"] == "True"


async def test_a_new_pod_that_is_gone_is_waited_for_no_longer(world: World) -> None:
    roll_out(world, old=[100.0], new=[100.0])
    world.pods.hanging.add("10.0.0.2")
    world.pods.speeds["10.0.0.3"] = [100.0]
    while "10.0.0.2" not in world.pods.measured:
        await world.settle()
    world.kube.remove("Pod", "team", "p2")
    put(world, "p3", "newer", "03", ready=False)
    assert (await settled(world, "p3"))["status"] == "True"


async def test_a_deleted_models_measurement_ends(world: World) -> None:
    roll_out(world, old=[100.0], new=[100.0])
    world.pods.hanging.add("10.0.0.1")
    while not world.pods.measured:
        await world.settle()
    world.kube.remove("GenAIModel", "team", "hello")
    await world.settle()
    assert world.gate.told(KEY) == ""
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("gate of")]


def events(world: World) -> list[dict[str, Any]]:
    return [body for (kind, _, _), body in world.kube.objects.items() if kind == "Event"]
