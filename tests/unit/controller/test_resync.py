"""The safety net: what the watches missed is found by listing, and every model has its turn in a period."""

import asyncio
import contextlib
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from genai_operator.clients.kube import SECRET, KubeClient
from genai_operator.constants import LABEL_MODEL
from genai_operator.errors import ClusterUnavailable
from genai_operator.services.cache import Cache, ChildId
from genai_operator.services.queue import QueueMetrics, WorkQueue
from genai_operator.services.resync import WATCHED, Resync
from support.fake_kube import FakeKube

Object = dict[str, Any]


class Net:
    """A resync with its cache and its queue, which nobody works on."""

    def __init__(self, *, namespaces: tuple[str, ...] = (), seconds: float = 3600.0) -> None:
        self.kube, self.cache = FakeKube(), Cache()

        async def process(key: str) -> None:
            raise NotImplementedError

        self.queue = WorkQueue(process, workers=1, metrics=QueueMetrics("test", CollectorRegistry()))
        kube = cast(KubeClient, self.kube)
        self.resync = Resync(kube, self.cache, self.queue, namespaces=namespaces, seconds=seconds)

    def queued(self) -> set[str]:
        """The keys that wait, which are taken off."""
        found = {*self.queue._waiting, *self.queue._background}
        self.queue._waiting.clear()
        self.queue._background.clear()
        return found

    def model(self, name: str, namespace: str = "team") -> Object:
        metadata = {"name": name, "namespace": namespace}
        return self.kube.put({"apiVersion": "genai-operator.io/v1alpha1", "kind": "GenAIModel", "metadata": metadata})

    def service(self, name: str, labels: dict[str, str]) -> Object:
        metadata = {"name": name, "namespace": "team", "labels": labels}
        return self.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata})


async def test_a_listing_finds_models_and_our_children_and_no_others() -> None:
    net = Net()
    net.model("hello")
    net.service("hello", {LABEL_MODEL: "hello"})
    net.service("foreign", {})
    await net.resync.list_all()
    assert net.queued() == {"team/hello"}
    assert net.cache.keys() == ["team/hello"]
    assert net.cache.child(ChildId("Service", "team", "hello")) is not None
    assert net.cache.child(ChildId("Service", "team", "foreign")) is None


async def test_what_was_deleted_in_a_gap_of_the_watches_is_noticed() -> None:
    net = Net()
    net.model("hello")
    net.model("gone")
    net.service("hello", {LABEL_MODEL: "hello"})
    await net.resync.list_all()
    net.queued()
    net.kube.remove("Service", "team", "hello")
    net.kube.remove("GenAIModel", "team", "gone")
    await net.resync.list_all()
    assert net.queued() == {"team/hello", "team/gone"}
    assert net.cache.keys() == ["team/hello"]


async def test_a_listing_without_a_change_queues_nothing() -> None:
    net = Net()
    net.model("hello")
    await net.resync.list_all()
    net.queued()
    await net.resync.list_all()
    assert net.queued() == set()


async def test_only_the_namespaces_that_are_watched_are_listed() -> None:
    net = Net(namespaces=("team", "other"))
    for namespace in ("team", "other", "foreign"):
        net.model("hello", namespace)
    await net.resync.list_all()
    assert set(net.cache.keys()) == {"team/hello", "other/hello"}


async def test_every_model_has_its_turn_in_a_period_and_a_failed_listing_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Net(seconds=0.02)
    for number in range(4):
        net.model(f"hello-{number}")
    await net.resync.list_all()
    net.queued()
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        raise ClusterUnavailable("no answer")

    monkeypatch.setattr(net.resync, "list_all", fail)
    running = asyncio.create_task(net.resync.run())
    async with asyncio.timeout(5):
        while failures < 2:  # noqa: ASYNC110 - plain data of the test
            await asyncio.sleep(0.005)
    assert not running.done()
    assert net.queued() == {f"team/hello-{number}" for number in range(4)}
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_secrets_are_never_listed_or_watched() -> None:
    assert SECRET not in WATCHED
