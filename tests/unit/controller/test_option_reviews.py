"""Pods that lose what they acknowledged, and counts that move: seen without an event, written only when changed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from genai_operator.clients.option_messages import OptionsReply, RecordingReply
from genai_operator.errors import PodUnreachable
from genai_operator.status.retries import LAST_SECONDS, PATIENCE_SECONDS, SLOW_SECONDS, retry_after
from support.model_world import KEY, World

POD = "10.0.0.1"


async def until(world: World, holds: Callable[[], bool], what: str) -> None:
    for _ in range(400):
        if world.delays:  # the queue's timers, which are not here
            world.delays.clear()
            world.woken.add(KEY)
        await world.settle()
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never: {what}")


async def serving(review_seconds: float = 0.1, **annotations: str) -> World:
    """A model whose one pod has the options."""
    world = World(review_seconds=review_seconds)
    world.put_model(annotations={key.replace("_", "-"): value for key, value in annotations.items()})
    world.put_pod("hello-1")
    await world.settle()
    return world


def pod(world: World) -> dict[str, object]:
    (told,) = world.status()["runtimeOptions"]["pods"]
    return dict(told)


@pytest.mark.parametrize("revision", ["ctl-1234", ""], ids=["options set inside the pod", "a window that cannot open"])
async def test_a_pod_that_lost_its_options_is_told_again(revision: str) -> None:
    world = await serving(terminate_session="1")
    wanted = world.pods.has[POD].revision
    world.pods.has[POD] = replace(world.pods.has[POD], revision=revision)
    await until(world, lambda: world.pods.has[POD].revision == wanted, "the pod has them again")
    await until(world, lambda: world.condition("RuntimeOptionsApplied")[1] == "Applied", "told so")
    assert [options.terminate_session for _, _, options in world.pods.told] == [True, True]
    await world.live.close()


async def test_a_pod_that_has_just_begun_to_serve_is_looked_at_at_once() -> None:
    world = World()  # a minute between reviews
    world.put_model(annotations={"enable-profiling": "slow"})
    world.put_pod("hello-1", ready=False)
    await world.settle()
    assert (len(world.pods.told), world.pods.reviewed) == (1, [])
    world.pods.has[POD] = OptionsReply("", ())  # the window could not be opened when the model had loaded
    world.put_pod("hello-1")
    await until(world, lambda: len(world.pods.told) == 2, "asked again")
    assert world.status()["runtimeOptions"]["applied"] == "1/1"
    await world.live.close()


async def test_while_nothing_changed_pods_are_read_and_nothing_is_written() -> None:
    world = await serving(drain="30s", cancel="client=a")
    await until(world, lambda: len(world.pods.reviewed) > 1, "two reviews")
    writes, seen = len(world.kube.writes), len(world.pods.reviewed)
    await until(world, lambda: len(world.pods.reviewed) > seen + 3, "more reviews")
    assert (len(world.kube.writes), len(world.pods.told)) == (writes, 1)
    await world.live.close()


async def test_a_drain_and_a_rule_are_counted_until_they_are_done() -> None:
    world = await serving(drain="30s", cancel="older-than=5s")
    for requests, cancelled in ((3, 0), (1, 2), (0, 3)):
        world.pods.has[POD] = replace(world.pods.has[POD], requests=requests, cancelled_requests=cancelled)
        told = {"requests": requests, "cancelledRequests": cancelled}
        await until(world, lambda told=told: told.items() <= pod(world).items(), f"{told}")  # type: ignore[misc]
        assert told.items() <= world.status()["runtimeOptions"].items()
    assert world.condition("Ready")[1] == "Draining"
    assert len(world.pods.told) == 1
    world.put_model()
    await until(world, lambda: world.condition("Ready")[1] == "Serving", "it serves")
    assert "requests" not in pod(world)
    await world.live.close()


async def test_a_window_that_a_pod_opened_by_itself_is_told_and_stays_told() -> None:
    world = await serving()
    recording = RecordingReply("recorded-1", "time between tokens p99 120 ms; MatMulNBits grew", 1_790_000_000_000)
    world.pods.has[POD] = replace(world.pods.has[POD], recording=recording)
    await until(world, lambda: "flightRecorder" in world.status(), "the recording is told")
    want = {
        "lastTrigger": recording.trigger,
        "profile": "recorded-1",
        "pod": "hello-1",
        "at": "2026-09-21T14:13:20Z",
    }
    assert world.status()["flightRecorder"] == want
    world.kube.remove("Pod", "team", "hello-1")
    world.put_pod("hello-2")
    await world.settle()
    assert world.status()["flightRecorder"] == want
    await world.live.close()


async def test_a_pod_that_is_silent_later_has_what_it_acknowledged() -> None:
    world = await serving(terminate_session="1")
    world.pods.failures[POD] = PodUnreachable("no answer")
    seen = len(world.pods.reviewed)
    await until(world, lambda: len(world.pods.reviewed) > seen + 1, "asked in vain")
    assert world.condition("RuntimeOptionsApplied")[1] == "Applied"
    await world.live.close()


async def test_pods_that_are_gone_are_not_asked() -> None:
    world = await serving()
    world.kube.remove("Pod", "team", "hello-1")
    await world.settle()
    seen = len(world.pods.reviewed)
    await asyncio.sleep(0.4)
    assert len(world.pods.reviewed) == seen


def test_a_silent_pod_is_asked_ever_more_seldom_and_after_a_while_slowly() -> None:
    delays = [retry_after(failures, 0.0, 0.5) for failures in range(1, 40)]
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert delays == sorted(delays)
    assert max(delays) == LAST_SECONDS
    assert retry_after(30, PATIENCE_SECONDS, 0.5) == SLOW_SECONDS
    assert retry_after(1, 0.0, 0.0) < retry_after(1, 0.0, 0.99) < 2 * retry_after(1, 0.0, 0.0)
