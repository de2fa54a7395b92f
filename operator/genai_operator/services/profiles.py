"""One pass over one GenAIProfile: gather, decide, act. Level-triggered, as `models.py` is.

The decisions are pure and elsewhere: `status.profile_plan` (which pods, what to do), `status.profile_summary` (what it
means). An operator that starts again in any phase goes on from the status and from what the pods say.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from genai_operator.api.genaimodel import GenAIModel, ObjectMeta
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.clients.kube import PROFILE, KubeClient
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.errors import InvalidModel, InvalidProfile
from genai_operator.services.cache import Cache
from genai_operator.services.certificates import control_server_name
from genai_operator.services.collector import Collector
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.profile_writer import ProfileWriter
from genai_operator.services.windows import LiveWindows
from genai_operator.status.conditions import previous_condition
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel
from genai_operator.status.profile_observed import ObservedProfile
from genai_operator.status.profile_plan import ProfilePlan, plan_profile
from genai_operator.status.profile_summary import ProfileProgress, summarise_invalid_profile, summarise_profile
from genai_operator.status.profile_windows import advance
from genai_operator.status.reasons import ConditionType, Reason

log = structlog.get_logger(__name__)

# Windows close by themselves; nobody tells, so pods are asked while one is open.
_OPEN_SECONDS = 1.0
# A pod that is busy, or a collector: watches and the status of others tell most of it sooner.
_WAITING_SECONDS = 2.0
_COLLECTING_SECONDS = 5.0
_CLOSE_SECONDS = 2.0


class ProfileService:
    """Reconciles profiles by key. `clock` returns the present time in UTC."""

    def __init__(
        self,
        kube: KubeClient,
        models: Cache,
        cache: ProfileCache,
        windows: LiveWindows,
        collector: Collector,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._models = models
        self._cache = cache
        self._windows = windows
        self._collector = collector
        self._clock = clock
        self._writer = ProfileWriter(kube, cache, clock)

    async def reconcile(self, key: str) -> float | None:
        """One pass; returns the seconds after which another one is needed, if any.

        Raises:
            ClusterError: the API server did not take something; the pass is to be repeated.
        """
        body = self._cache.profile(key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._writer.forget(key)  # and the windows when they are closed
            return _CLOSE_SECONDS if await self._windows.close(key) else None
        try:
            profile = GenAIProfile.from_body(body)
        except InvalidProfile as error:
            status = summarise_invalid_profile(
                ObjectMeta.from_body(body), body.get("status") or {}, error, self._clock()
            )
            await self._writer.write(key, body, status)
            return None
        if profile.finished:
            self._forget(key)
            return await self._expire(profile)
        return await self._advance(key, body, profile)

    async def close_orphans(self) -> None:
        """Closes windows of profiles that were deleted while no operator ran. Called once, when the caches are full."""
        models = self._models.keys()
        pods = [
            PodEndpoint(pod.ip, control_server_name(name, namespace))
            for namespace, name in (key.split("/", 1) for key in models)
            for pod in self._live_pods(f"{namespace}/{name}")
            if pod.ready and pod.ip
        ]
        await self._windows.close_orphans(pods, self._cache.uids)

    async def _advance(self, key: str, body: Mapping[str, Any], profile: GenAIProfile) -> float | None:
        model = self._model(profile)
        seen = self._observe(profile, model)
        plan = plan_profile(profile, seen, frozenset(self._windows.reports(key)))
        server_name = control_server_name(profile.spec.model, profile.metadata.namespace)
        answers = await self._windows.take(key, profile, server_name, plan.steps)
        pods = tuple(advance(step, answer) for step, answer in zip(plan.steps, answers, strict=True))
        progress = ProfileProgress(pods, self._windows.reports(key), plan.waiting, plan.expired)
        if progress.windows_ended and progress.captured and profile.spec.output.type != "Pod":
            collection = await self._collector.collect(profile, model, progress.captured, seen.pods)
            progress = ProfileProgress(pods, progress.reports, collection=collection)
        status = summarise_profile(profile, progress, self._clock())
        if not await self._writer.write(key, body, status):
            return _OPEN_SECONDS
        if status["phase"] in ("Complete", "Failed"):
            self._forget(key)
        return _next_pass(profile, plan, status)

    async def _expire(self, profile: GenAIProfile) -> float | None:
        """Deletes a finished profile whose time is over; returns the seconds that it still has."""
        ttl, finished = profile.spec.ttl_seconds_after_finished, profile.status.finished_at
        if ttl is None or finished is None:
            return None
        remaining = ttl - (self._clock() - datetime.fromisoformat(finished)).total_seconds()
        if remaining > 0:
            return remaining
        metadata = profile.metadata
        await self._kube.delete(PROFILE, metadata.namespace, metadata.name, uid=metadata.uid)
        log.info("deleted after its time", profile=metadata.key)
        return None

    def _forget(self, key: str) -> None:
        """Drops what is remembered of a profile that needs nothing any more."""
        self._windows.forget(key)
        self._writer.forget(key)

    def _model(self, profile: GenAIProfile) -> GenAIModel | None:
        body = self._models.model(f"{profile.metadata.namespace}/{profile.spec.model}")
        try:
            return None if body is None else GenAIModel.from_body(body)
        except InvalidModel:
            return None  # it says so itself; its pods cannot be named safely

    def _observe(self, profile: GenAIProfile, model: GenAIModel | None) -> ObservedProfile:
        ready = previous_condition(model.status, ConditionType.READY) if model else {}
        return ObservedProfile(
            now=self._clock(),
            model_found=model is not None,
            model_halted=ready.get("reason") == Reason.HALTED.value,
            pods=tuple(self._live_pods(f"{profile.metadata.namespace}/{profile.spec.model}")),
        )

    def _live_pods(self, model: str) -> tuple[Any, ...]:
        return live_pods(ObservedModel(pods=self._models.pods(model)))


def _next_pass(profile: GenAIProfile, plan: ProfilePlan, status: Mapping[str, Any]) -> float | None:
    """When to look again: what happens in the cluster wakes a profile, what happens in a pod does not."""
    phase = status["phase"]
    if phase in ("Complete", "Failed"):
        return 0.0 if profile.spec.ttl_seconds_after_finished is not None else None
    if plan.fresh:
        return 0.0
    if phase == "Collecting":
        return _COLLECTING_SECONDS
    if any(pod["state"] in ("Open", "Merging") for pod in status.get("pods", ())):
        return _OPEN_SECONDS
    return None if profile.spec.suspend else _WAITING_SECONDS
