"""One pass over one model: gather, decide, act. Level-triggered: what happened does not matter, only what is.

The decisions are pure and elsewhere: `builders` (which children), `status` (what it means, what pods need). The order
here is for people at the keyboard: live options go out before anything is written to the API server.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from genai_operator.api.built import is_current
from genai_operator.api.genaimodel import GenAIModel, ObjectMeta
from genai_operator.api.runtime_options import DesiredOptions, desired_options
from genai_operator.clients.kube import KubeClient
from genai_operator.constants import ANNOTATION_PAUSE, MANAGER, MANAGER_LIVE
from genai_operator.errors import InvalidModel
from genai_operator.services.building import Building
from genai_operator.services.cache import Cache
from genai_operator.services.certificates import ControlAuthority, control_server_name
from genai_operator.services.children import Children, Hindrance
from genai_operator.services.fetches import Fetches
from genai_operator.services.live_options import LiveOptions
from genai_operator.services.prepared import Prepared, Preparer
from genai_operator.services.rollout_gate import RolloutGate
from genai_operator.services.status_writer import StatusWriter
from genai_operator.services.tuning import Tuning
from genai_operator.settings import OperatorSettings
from genai_operator.status import summarise, summarise_invalid, summarise_runtime_options
from genai_operator.status.live_plan import live_pods, plan_live_options
from genai_operator.status.observed import ObservedBuild, ObservedModel, ObservedTuning

# Pods on the same machine answer in milliseconds; waiting this long for them saves a second status write.
_SETTLE_SECONDS = 0.05
# The same for the Deployment's controller, which has to look at what we changed.
_CATCH_UP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class PodCalls:
    """Everything that is said to pods."""

    live: LiveOptions
    gate: RolloutGate
    fetches: Fetches
    builds: Fetches  # of the pods of build Jobs


class ModelService:
    """Reconciles models by key. `clock` returns the present time in UTC."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        pods: PodCalls,
        authority: ControlAuthority,
        settings: OperatorSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._live = pods.live
        self._gate = pods.gate
        self._fetches = pods.fetches
        self._builds = pods.builds
        self._clock = clock
        self._preparer = Preparer(authority, settings)
        self._children = Children(kube, cache)
        # Models whose Deployment was changed and not looked at yet: its generation, and since when.
        self._behind: dict[str, tuple[int, float]] = {}
        self._tuning = Tuning(kube, cache.tuning_jobs, settings, pods.live.wake)
        self._building = Building(kube, cache.build_jobs, settings, pods.builds, pods.live.wake)
        self._status = StatusWriter(kube, cache, pods.live.wake, clock)

    async def reconcile(self, key: str) -> float | None:
        """One pass; returns the seconds after which another one is needed, if any.

        Raises:
            ClusterError: the API server did not take something; the pass is to be repeated.
        """
        body = self._cache.model(key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._children.forget(key)
            self._preparer.forget(key)
            self._status.forget(key)
            self._behind.pop(key, None)
            await self._live.keep_only(key, ())
            await self._gate.forget(key)
            await self._fetches.forget(key)
            await self._builds.forget(key)
            return None
        try:
            prepared = self._preparer.prepare(key, body)
        except InvalidModel as error:
            await self._report_invalid(key, body, error)
            return None
        model, desired = prepared.model, desired_options(prepared.model)
        calls = await self._drive_pods(key, model, desired)
        hindrance = None if _paused(body) else await self._converge_children(key, prepared)
        if calls:
            await asyncio.wait(calls, timeout=_SETTLE_SECONDS)
        still = hindrance is not None or _paused(body)
        build = None if still else await self._building.step(model)
        tuning = None if still or not is_current(model) else await self._tuning.step(model)
        soon = 0.0 if still else self._catching_up(key)
        observed = self._observe(key, hindrance, tuning, build, paused=_paused(body))
        await self._report(body, model, desired, observed, soon)
        return hindrance.again if hindrance else soon or None

    async def _drive_pods(self, key: str, model: GenAIModel, desired: DesiredOptions) -> list[asyncio.Task[None]]:
        """Sends pods what they lack, and asks ready ones what they serve; returns what was started.

        Also while reconciliation is paused: a pod that is replaced during a halt has to come back halted.
        """
        observed = self._observe(key)
        await self._live.keep_only(key, observed.pods)
        server_name = control_server_name(model.metadata.name, model.metadata.namespace)
        self._gate.step(key, server_name, model, observed)
        await self._fetches.step(key, server_name, observed.pods)
        pushes = self._live.push(key, server_name, desired, plan_live_options(desired, observed).push)
        ready = [pod for pod in live_pods(observed) if pod.ready]
        return [*pushes, *self._live.inquire(key, server_name, desired.options, ready)]

    async def _converge_children(self, key: str, prepared: Prepared) -> Hindrance | None:
        """Makes the children what they should be; returns what is in the way, if anything."""
        deployment = self._cache.deployment(key)
        suspect = deployment is None or deployment.ready_replicas < deployment.replicas
        uid = prepared.model.metadata.uid
        return await self._children.converge(key, uid, prepared.wanted, suspect=suspect, left=prepared.left)

    def _catching_up(self, key: str) -> float:
        """Seconds until the Deployment's controller will have seen our change; 0 when it has, or takes long."""
        deployment = self._cache.deployment(key)
        if deployment is None or deployment.observed_generation >= deployment.generation:
            self._behind.pop(key, None)
            return 0.0
        generation, since = self._behind.get(key, (0, 0.0))
        if generation != deployment.generation:
            since = monotonic()
            self._behind[key] = (deployment.generation, since)
        return max(0.0, since + _CATCH_UP_SECONDS - monotonic())

    async def _report(
        self,
        body: Mapping[str, Any],
        model: GenAIModel,
        desired: DesiredOptions,
        observed: ObservedModel,
        soon: float,
    ) -> None:
        key = model.metadata.key
        # First, so that who sees `observedGeneration` sees what became of the spec's runtime options too.
        await self._status.write(key, body, MANAGER_LIVE, summarise_runtime_options(model, desired, observed))
        if not soon:  # else this part would be written twice
            await self._status.write(key, body, MANAGER, summarise(model, observed))

    async def _report_invalid(self, key: str, body: Mapping[str, Any], error: InvalidModel) -> None:
        """Says what is wrong with the resource; its children stay as they are."""
        observed = self._observe(key, paused=_paused(body))
        status = summarise_invalid(ObjectMeta.from_body(body), body.get("status") or {}, error, observed)
        await self._status.write(key, body, MANAGER, status)

    def _observe(
        self,
        key: str,
        hindrance: Hindrance | None = None,
        tuning: ObservedTuning | None = None,
        build: ObservedBuild | None = None,
        *,
        paused: bool = False,
    ) -> ObservedModel:
        return ObservedModel(
            deployment=self._cache.deployment(key),
            pods=self._cache.pods(key),
            answers=self._live.answers(key),
            fetches=self._fetches.told(key),
            conflict=hindrance.conflict if hindrance else "",
            refusal=hindrance.refusal if hindrance else "",
            gate=self._gate.told(key),
            tuning=tuning,
            build=build,
            paused=paused,
            now=self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def _paused(body: Mapping[str, Any]) -> bool:
    return (body["metadata"].get("annotations") or {}).get(ANNOTATION_PAUSE) == "true"
