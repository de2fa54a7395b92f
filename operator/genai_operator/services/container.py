"""Puts the parts together, once a process, and runs what is not kopf's: leading, the queue, the resync.

The only place that constructs services and clients. No decision is made here.
"""

import asyncio
from time import monotonic
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from genai_operator.clients.fetch import FetchClient
from genai_operator.clients.kube import JOB, MODEL, POD, PROFILE, KubeClient, Resource
from genai_operator.clients.measuring import MeasuringClient
from genai_operator.clients.runtime import RuntimeClient
from genai_operator.clients.windows import WindowClient
from genai_operator.errors import ClusterError
from genai_operator.services.cache import DELETED, Cache
from genai_operator.services.certificates import ControlAuthority
from genai_operator.services.collector import Collector
from genai_operator.services.fetches import Fetches
from genai_operator.services.jobs import is_of_model
from genai_operator.services.leader import Leader, LeaseName
from genai_operator.services.live_options import LiveOptions
from genai_operator.services.models import ModelService, PodCalls
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.profiles import ProfileService
from genai_operator.services.queue import QueueMetrics, WorkQueue
from genai_operator.services.resync import OF_PROFILES, Resync, listed_of_models
from genai_operator.services.rollout_gate import RolloutGate
from genai_operator.services.windows import LiveWindows
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import building_container

log = structlog.get_logger(__name__)

# Our own writes have to come back through kopf's watches; after this long one of them is blind.
_BLIND_SECONDS = 120.0
_RETRY_SECONDS = 2.0
_TELL_SECONDS = 60.0


class Container:
    """The operator without kopf."""

    def __init__(self, settings: OperatorSettings, kube: KubeClient, authority: ControlAuthority) -> None:
        self.settings = settings
        self.kube = kube
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.cache = Cache()
        self.runtime = RuntimeClient(authority.client_identity)
        self.live = LiveOptions(self.runtime, settings, wake=self._wake)
        fetching, deadline = FetchClient(self.runtime), settings.push_deadline_seconds
        self.fetches = Fetches(fetching, wake=self._wake, deadline_seconds=deadline)
        self.builds = Fetches(fetching, wake=self._wake, deadline_seconds=deadline, working=building_container)
        self.gate = RolloutGate(kube, MeasuringClient(self.runtime), wake=self._wake)
        calls = PodCalls(self.live, self.gate, self.fetches, self.builds)
        self.models = ModelService(kube, self.cache, calls, authority, settings)
        metrics = QueueMetrics("models", self.registry)
        self.queue = WorkQueue(self.models.reconcile, workers=settings.workers, metrics=metrics)
        self.resync = Resync(
            kube,
            self.cache,
            self.queue,
            watched=listed_of_models(settings.autoscalers),
            namespaces=settings.namespaces,
            seconds=settings.resync_seconds,
        )
        self.profile_cache = ProfileCache()
        self.windows = LiveWindows(WindowClient(self.runtime), settings)
        collector = Collector(kube, self.profile_cache, authority, settings)
        self.profiles = ProfileService(kube, self.cache, self.profile_cache, self.windows, collector)
        self.profile_queue = WorkQueue(
            self.profiles.reconcile, workers=settings.workers, metrics=metrics.of("profiles"), kind="profile"
        )
        self.profile_resync = Resync(
            kube,
            self.profile_cache,
            self.profile_queue,
            watched=OF_PROFILES,
            namespaces=settings.namespaces,
            seconds=settings.resync_seconds,
        )
        lease = LeaseName(settings.namespace, settings.lease_name, settings.identity, settings.lease_seconds)
        self.leader = Leader(kube, lease, election=settings.leader_election)

    @classmethod
    async def build(cls, settings: OperatorSettings) -> Self:
        """Reads the authority and the credentials.

        Raises:
            OperatorError: one of them is not usable.
        """
        authority = ControlAuthority.load(settings.ca_dir)
        return cls(settings, await KubeClient.connect(), authority)

    def observe(self, resource: Resource, event: str | None, body: dict[str, Any]) -> None:
        """Takes in what a watch shows. A listing's objects wait behind what happens now."""
        if resource in OF_PROFILES and not (resource is JOB and is_of_model(body)):
            self._observe_profile(resource, event, body)
            return
        key = self.cache.observe(resource, event, body)
        if key:
            self.queue.add(key, background=event is None)
        if resource is MODEL and event == DELETED and key:
            self.queue.forget(key)
        if key and resource in (MODEL, POD):
            for profile in self.profile_cache.of_model(key):
                self.profile_queue.add(profile)

    def ailments(self) -> list[str]:
        """Why this process should be restarted; empty when it should not."""
        found = []
        if not self.leader.healthy:
            found.append("renewals of the lease do not come back through its watch")
        awaited = self.cache.oldest_awaited()
        if awaited and awaited[1] > _BLIND_SECONDS:
            found.append(f"the watch does not show our write of {awaited[0]}")
        return found

    async def until_served(self) -> None:
        """Waits until the API server knows our kinds: kopf looks for them once, at its start. That is no ailment."""
        last_told = -_TELL_SECONDS
        while True:
            try:
                why = await self._unserved()
            except ClusterError as error:
                why = str(error)
            if not why:
                return
            if monotonic() - last_told >= _TELL_SECONDS:
                log.warning("waiting for the API server", why=why)
                last_told = monotonic()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _unserved(self) -> str:
        """Which of our kinds the API server does not know; empty when it knows both."""
        for resource in (MODEL, PROFILE):
            if not await self.kube.served(resource, next(iter(self.settings.namespaces), "")):
                return f"it does not serve {resource.kind}; install the CRD"
        return ""

    async def run(self) -> None:
        """Leads when it is this operator's turn, and works until cancelled.

        Raises:
            LeadershipLost: another operator took over.
        """
        async with asyncio.TaskGroup() as group:
            # Before the Lease is ours: also one that waits for it has to notice that it hears nothing.
            group.create_task(self.leader.listen(), name="lease watch")
            await self.leader.acquire()
            group.create_task(self.leader.keep(), name="lease renewal")
            group.create_task(self._work(group), name="start of work")

    async def close(self) -> None:
        """Gives back the Lease and closes all connections."""
        await self.leader.release()
        await self.gate.close()
        await self.fetches.close()
        await self.builds.close()
        await self.live.close()
        await self.runtime.close()
        await self.kube.close()

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                await self.resync.list_all()
                await self.profile_resync.list_all()
                break
            except ClusterError as error:
                log.warning("the first listing failed", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
        group.create_task(self.queue.run(), name="queue")
        group.create_task(self.resync.run(), name="resync")
        group.create_task(self.profile_queue.run(), name="profile queue")
        group.create_task(self.profile_resync.run(), name="profile resync")
        group.create_task(self.profiles.close_orphans(), name="windows of deleted profiles")
        log.info("working", models=len(self.cache.keys()), profiles=len(self.profile_cache.keys()))

    def _observe_profile(self, resource: Resource, event: str | None, body: dict[str, Any]) -> None:
        key = self.profile_cache.observe(resource, event, body)
        if key:
            self.profile_queue.add(key, background=event is None)
        if resource is PROFILE and event == DELETED and key:
            self.profile_queue.forget(key)

    def _wake(self, key: str, seconds: float) -> None:
        if seconds > 0:
            self.queue.add_after(key, seconds)
        else:
            self.queue.add(key)
