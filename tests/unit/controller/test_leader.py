"""The Lease: one holder, judged by what this process saw and not by clocks; given back, lost, heard through a watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from genai_operator.clients.kube import KubeClient, Resource
from genai_operator.errors import ClusterUnavailable
from genai_operator.services.leader import Leader, LeadershipLost, LeaseName
from support.fake_kube import FakeKube

Object = dict[str, Any]


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LeaseKube(FakeKube):
    """With a watch that tells what is put into `events`; None breaks it."""

    def __init__(self) -> None:
        super().__init__()
        self.events: asyncio.Queue[Object | None] = asyncio.Queue()
        self.watches = 0

    async def watch(
        self, resource: Resource, namespace: str, name: str, *, seconds: int, silence: float
    ) -> AsyncIterator[Object]:
        self.watches += 1
        while (event := await self.events.get()) is not None:
            yield event
        raise ClusterUnavailable("the watch broke")


def make(
    kube: FakeKube, identity: str = "one", clock: Clock | None = None, *, seconds: float = 15.0, election: bool = True
) -> Leader:
    lease = LeaseName("system", "genai-operator", identity, seconds)
    return Leader(cast(KubeClient, kube), lease, election=election, clock=clock or Clock())


def spec(kube: FakeKube) -> Object:
    return dict((kube.find("Lease", "genai-operator", "system") or {})["spec"])


async def until_heard(leader: Leader, kube: LeaseKube, watches: int) -> None:
    async with asyncio.timeout(5):
        while kube.watches < watches or not kube.events.empty():  # noqa: ASYNC110 - plain data of the test
            await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_the_first_takes_the_lease_and_the_second_waits() -> None:
    kube = FakeKube()
    first, second = make(kube, "one"), make(kube, "two")
    await first.acquire()
    assert first.leading
    assert (spec(kube)["holderIdentity"], spec(kube)["leaseTransitions"]) == ("one", 0)
    assert not await second._try()
    assert spec(kube)["holderIdentity"] == "one"


async def test_a_lease_that_does_not_change_for_its_duration_is_taken_whatever_its_time_says() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = make(kube, "one", clock), make(kube, "two", clock)
    await first.acquire()
    lease = kube.find("Lease", "genai-operator", "system")
    assert lease is not None
    lease["spec"]["renewTime"] = "2000-01-01T00:00:00.000000Z"  # a node whose clock is wrong
    kube.put(lease)
    assert not await second._try()
    clock.now += 14
    assert not await second._try()
    assert await first._try()  # renewed: the count begins again
    assert not await second._try()
    clock.now += 14
    assert not await second._try()
    clock.now += 2
    assert await second._try()
    assert (spec(kube)["holderIdentity"], spec(kube)["leaseTransitions"]) == ("two", 1)


async def test_the_same_identity_takes_its_lease_up_again_without_waiting() -> None:
    kube = FakeKube()
    await make(kube, "one").acquire()
    acquired = spec(kube)["acquireTime"]
    again = make(kube, "one")
    await again.acquire()
    assert (spec(kube)["acquireTime"], spec(kube)["leaseTransitions"]) == (acquired, 0)


async def test_a_released_lease_is_free_at_once() -> None:
    kube = FakeKube()
    first, second = make(kube, "one"), make(kube, "two")
    await first.acquire()
    await first.release()
    assert not first.leading
    assert await second._try()


async def test_one_that_never_led_releases_nothing_and_a_release_that_fails_is_no_error() -> None:
    kube = FakeKube()
    first, second = make(kube, "one"), make(kube, "two")
    await first.acquire()
    await second.release()
    assert spec(kube)["holderIdentity"] == "one"
    kube.failures[("replace", "Lease")] = ClusterUnavailable("no answer")
    await first.release()
    assert spec(kube)["holderIdentity"] == "one"


async def test_a_holder_that_finds_another_in_its_place_ends() -> None:
    kube = FakeKube()
    first = make(kube, "one", seconds=0.03)
    await first.acquire()
    lease = kube.find("Lease", "genai-operator", "system")
    assert lease is not None
    lease["spec"]["holderIdentity"] = "two"
    lease["spec"]["leaseDurationSeconds"] = 3600
    kube.put(lease)
    with pytest.raises(LeadershipLost, match="system/genai-operator"):
        await first.keep()
    assert not first.leading


async def test_a_holder_that_cannot_renew_in_time_ends_and_a_single_failure_is_survived() -> None:
    kube, clock = FakeKube(), Clock()
    first = make(kube, "one", clock, seconds=0.03)
    await first.acquire()
    kube.failures[("replace", "Lease")] = ClusterUnavailable("no answer")
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(0.05)
    assert not keeping.done()  # by this clock no time has passed
    clock.now += 1
    with pytest.raises(LeadershipLost):
        await keeping


async def test_without_election_the_lease_is_taken_whoever_holds_it() -> None:
    kube = FakeKube()
    await make(kube, "one").acquire()
    await make(kube, "two", election=False).acquire()
    assert spec(kube)["holderIdentity"] == "two"


async def test_health_is_hearing_the_lease_and_before_the_watch_there_is_nothing_to_hear() -> None:
    kube, clock = LeaseKube(), Clock()
    leader = make(kube, "one", clock)
    clock.now += 3600  # waiting for the CRD
    assert leader.healthy
    listening = asyncio.create_task(leader.listen())
    await until_heard(leader, kube, 1)
    clock.now += 44
    assert leader.healthy
    clock.now += 2
    assert not leader.healthy
    await kube.events.put({"type": "MODIFIED"})
    await until_heard(leader, kube, 1)
    assert leader.healthy
    clock.now += 46
    await kube.events.put({"type": "BOOKMARK"})
    await until_heard(leader, kube, 1)
    assert not leader.healthy
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening


async def test_a_watch_that_breaks_is_begun_again() -> None:
    kube = LeaseKube()
    leader = make(kube)
    listening = asyncio.create_task(leader.listen())
    await until_heard(leader, kube, 1)
    await kube.events.put(None)
    await until_heard(leader, kube, 2)
    assert not listening.done()
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening
