"""The safety net under the watches: lists everything, drops what is gone, and looks at every key again.

A watch that starts again after a gap does not say what was deleted meanwhile. The first listing, before the queue runs,
keeps passes from deciding on half a cluster. The keys' turns are spread over the period. Models and profiles have a
resync each, over caches of their own.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

import structlog

from genai_operator.clients.kube import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HORIZONTAL_AUTOSCALER,
    JOB,
    MODEL,
    POD,
    PROFILE,
    SCALED_OBJECT,
    SERVICE,
    SERVICE_ACCOUNT,
    KubeClient,
    Resource,
)
from genai_operator.constants import LABEL_MODEL, LABEL_PROFILE, MANAGED_BY
from genai_operator.errors import ClusterError, ClusterNotFound
from genai_operator.services.queue import WorkQueue

log = structlog.get_logger(__name__)

_OUR_JOBS = f"app.kubernetes.io/managed-by={MANAGED_BY}"
# Everything that is watched, and the label it must carry; Secrets may not be read.
OF_MODELS = {
    MODEL: "",
    DEPLOYMENT: LABEL_MODEL,
    SERVICE: LABEL_MODEL,
    SERVICE_ACCOUNT: LABEL_MODEL,
    DISRUPTION_BUDGET: LABEL_MODEL,
    HORIZONTAL_AUTOSCALER: LABEL_MODEL,
    POD: LABEL_MODEL,
    JOB: _OUR_JOBS,  # of two labels; the books tell them apart
}
OF_PROFILES = {PROFILE: "", JOB: LABEL_PROFILE}
# A watch has one selector: this one has the Jobs of both.
WATCHED = {**OF_MODELS, **OF_PROFILES, JOB: _OUR_JOBS}
# By what `settings.autoscalers` calls them: without the setting there are no rights to look at them.
AUTOSCALERS = {"HPA": HORIZONTAL_AUTOSCALER, "KEDA": SCALED_OBJECT}


def watched(autoscalers: Sequence[str]) -> dict[Resource, str]:
    """What is watched in an installation with these autoscalers."""
    unused = {each for name, each in AUTOSCALERS.items() if name not in autoscalers}
    return {resource: label for resource, label in WATCHED.items() if resource not in unused}


def listed_of_models(autoscalers: Sequence[str]) -> dict[Resource, str]:
    """What is listed for models: all of theirs that is watched, and KEDA's objects, which are not."""
    seen = watched(autoscalers)
    found = {resource: label for resource, label in OF_MODELS.items() if resource in seen}
    return {**found, SCALED_OBJECT: LABEL_MODEL} if "KEDA" in autoscalers else found


class Listed(Protocol):
    """A cache that a resync keeps complete: `services.cache.Cache`, and that of profiles."""

    def keys(self) -> list[str]: ...

    def observe(self, resource: Resource, event: str | None, body: Mapping[str, Any]) -> str | None: ...

    def missing(self, resource: Resource, seen: Set[str], snapshot: int, namespace: str = "") -> list[str]: ...


class Resync:
    """Keeps a cache complete. `watched` says what is listed, by which label; `namespaces` empty: the whole cluster."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Listed,
        queue: WorkQueue,
        *,
        watched: Mapping[Resource, str] = OF_MODELS,
        namespaces: Sequence[str],
        seconds: float,
    ) -> None:
        self._kube = kube
        self._watched = watched
        self._cache = cache
        self._queue = queue
        self._namespaces = tuple(namespaces)
        self._seconds = seconds

    async def list_all(self) -> None:
        """Brings the cache up to the cluster's state, and queues what differs.

        Raises:
            ClusterError: a listing failed; the cache keeps what it has.
        """
        for resource in self._watched:
            for namespace in self._namespaces or ("",):
                await self._list(resource, namespace)

    async def run(self) -> None:
        """Forever: wait out the period while queueing every key once, then list again."""
        while True:
            await self._revisit(self._cache.keys())
            try:
                await self.list_all()
            except ClusterError as error:
                log.warning("resync could not list", error=str(error))

    async def _list(self, resource: Resource, namespace: str) -> None:
        seen: set[str] = set()
        snapshot = 0
        try:
            async for items, version in self._kube.list(resource, namespace, self._watched[resource]):
                snapshot = int(version or 0)
                for item in items:
                    body = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
                    seen.add(str(body["metadata"].get("uid", "")))
                    key = self._cache.observe(resource, None, body)
                    if key:
                        self._queue.add(key, background=True)
        except ClusterNotFound:
            if resource is not SCALED_OBJECT:
                raise
            return  # KEDA is not installed
        for key in self._cache.missing(resource, seen, snapshot, namespace):
            self._queue.add(key)

    async def _revisit(self, keys: list[str]) -> None:
        pause = self._seconds / max(1, len(keys))
        for key in keys:
            await asyncio.sleep(pause)
            self._queue.add(key, background=True)
        if not keys:
            await asyncio.sleep(self._seconds)
