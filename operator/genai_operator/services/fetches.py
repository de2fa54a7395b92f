"""Asks pods that fetch or build a model how far they are: the less often the longer it takes, and no other at all.

A pass over a model starts what is due and asks for the next pass; while no pod fetches, none is asked for. What the
answers mean is decided in `status.model_state`; that a fetch has ended, and how, is the kubelet's to tell.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from genai_operator.clients.fetch import FetchClient
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.errors import PodError
from genai_operator.services.pod_link import log_bug
from genai_operator.status.observed import FetchProgress, ObservedPod, fetching_container

log = structlog.get_logger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 2.0, 15.0
_SHARE = 0.05  # of the time that it has taken so far
_AT_ONCE = 16


@dataclass(slots=True)
class _Fetch:
    """One run of a pod's container. Times are the event loop's."""

    endpoint: PodEndpoint
    container: str
    since: float
    due: float = 0.0
    task: asyncio.Task[None] | None = None
    progress: FetchProgress | None = None


class Fetches:
    """The fetches of all models. `wake` asks for another pass over a model in so many seconds.

    `working` names the container of a pod that has something to tell; empty: none has.
    """

    def __init__(
        self,
        client: FetchClient,
        *,
        wake: Callable[[str, float], None],
        deadline_seconds: float = 2.0,
        working: Callable[[ObservedPod], str] = fetching_container,
    ) -> None:
        self._client = client
        self._wake = wake
        self._deadline = deadline_seconds
        self._working = working
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._models: dict[str, dict[str, _Fetch]] = {}

    def told(self, key: str) -> dict[str, FetchProgress]:
        """The last answers of the model's pods that fetch, by the pod's uid."""
        return {uid: each.progress for uid, each in self._models.get(key, {}).items() if each.progress}

    async def step(self, key: str, server_name: str, pods: Iterable[ObservedPod]) -> None:
        """Starts asking those whose turn it is, forgets those that do not fetch any more."""
        fetching = {pod.uid: pod for pod in pods if self._working(pod) and pod.ip and not pod.deleting}
        present = {pod.uid for pod in pods if not pod.deleting}
        known = self._models.setdefault(key, {}) if fetching else self._models.get(key, {})
        for uid in [uid for uid in known if uid not in fetching]:
            await self._drop(known.pop(uid), gone=uid not in present)
        if not known and not fetching:
            self._models.pop(key, None)
        for uid, pod in fetching.items():
            fetch = known.get(uid)
            if fetch is None or fetch.container != self._working(pod):
                if fetch:
                    await self._drop(fetch, gone=False)
                endpoint = PodEndpoint(pod.ip, server_name)
                fetch = known[uid] = _Fetch(endpoint, self._working(pod), asyncio.get_running_loop().time())
            self._turn(key, fetch)

    async def forget(self, key: str) -> None:
        """Ends what is under way for a model that is gone."""
        for fetch in self._models.pop(key, {}).values():
            await self._drop(fetch, gone=True)

    async def close(self) -> None:
        """Ends everything."""
        for key in list(self._models):
            await self.forget(key)

    def _turn(self, key: str, fetch: _Fetch) -> None:
        if fetch.task and not fetch.task.done():
            return
        remaining = fetch.due - asyncio.get_running_loop().time()
        if remaining > 0:
            self._wake(key, remaining)
            return
        fetch.task = asyncio.create_task(self._ask(key, fetch), name=f"fetch of {key}")
        fetch.task.add_done_callback(log_bug)

    async def _ask(self, key: str, fetch: _Fetch) -> None:
        before = fetch.progress
        async with self._limit:
            try:
                reply = await self._client.progress(fetch.endpoint, deadline_seconds=self._deadline)
            except PodError as error:
                log.info("pod does not say how far its fetch is", model=key, error=str(error))
            else:
                fetch.progress = FetchProgress(
                    reply.state, reply.fetched_bytes, reply.total_bytes, reply.remaining_seconds, reply.percent
                )
        now = asyncio.get_running_loop().time()
        pause = min(_LAST_PAUSE, max(_FIRST_PAUSE, _SHARE * (now - fetch.since)))
        fetch.due, fetch.task = now + pause, None
        self._wake(key, pause if fetch.progress == before else 0.0)

    async def _drop(self, fetch: _Fetch, *, gone: bool) -> None:
        """Ends the asking; the channel to a pod that stays is used for its options next."""
        if fetch.task:
            fetch.task.cancel()
        if gone:
            await self._client.forget(fetch.endpoint)
