"""Measures new pods against old ones and writes the verdict into the new pod's condition, one comparison a model.

Which pods, and what a comparison means, is decided by `status.rollout_gate`. What an old template measured is
remembered for the rest of its roll-out; verdicts are not, they lie in the pods.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.rollout_spec import Gate
from genai_operator.clients.kube import POD, KubeClient
from genai_operator.clients.measuring import MeasuringClient
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.constants import CONDITION_MEASURED
from genai_operator.errors import ClusterConflict, ClusterError, ClusterNotFound, PodError
from genai_operator.services.queue import back_off
from genai_operator.status.observed import ObservedModel, ObservedPod
from genai_operator.status.rollout_gate import (
    GatePlan,
    Measured,
    PodVerdict,
    gate_id,
    judge,
    no_comparison,
    plan_gate,
)

log = structlog.get_logger(__name__)

_REPEATS = 3
_CALL_SECONDS = 5.0
_MEASURE_SECONDS = 900.0
# How long an old pod may be busy before it is measured all the same: it is slower then, and the gate more lenient.
_BUSY_SECONDS = 60.0
_BUSY_PAUSE = 1.0
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0


@dataclass(slots=True)
class _Gated:
    """What is going on with one model's new pods."""

    task: asyncio.Task[None] | None = None
    pods: frozenset[str] = frozenset()  # uids that the task needs
    told: str = ""
    failures: int = 0
    not_before: float = 0.0
    written: dict[str, tuple[str, bool]] = field(default_factory=dict)  # uid -> (gate, passed), until a watch shows it
    remembered: dict[tuple[str, str], Measured] = field(default_factory=dict)  # (template, gate)


class RolloutGate:
    """The gates of all models. `wake` asks for another pass over a model in so many seconds."""

    def __init__(
        self,
        kube: KubeClient,
        client: MeasuringClient,
        *,
        wake: Callable[[str, float], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        busy_seconds: float = _BUSY_SECONDS,
    ) -> None:
        self._kube = kube
        self._client = client
        self._wake = wake
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._models: dict[str, _Gated] = {}

    def told(self, key: str) -> str:
        """What a roll-out waits for, in words; empty when nothing is measured."""
        known = self._models.get(key)
        return known.told if known else ""

    def step(self, key: str, server_name: str, model: GenAIModel, observed: ObservedModel) -> None:
        """Starts what the plan says, unless it is under way; ends what is under way for pods that are gone."""
        known = self._models.get(key)
        plan = plan_gate(model, observed)
        if known is None and not plan.pods:
            return
        known = self._models.setdefault(key, _Gated())
        present = {pod.uid for pod in observed.pods if not pod.deleting}
        if known.task and not known.task.done():
            if known.pods <= present:
                return
            known.task.cancel()
        templates = {pod.template for pod in observed.pods}
        known.remembered = {name: value for name, value in known.remembered.items() if name[0] in templates}
        known.written = {uid: said for uid, said in known.written.items() if uid in present}
        plan = self._without_written(known, plan, model.spec.rollout.gate)
        if not plan.pods:
            known.told, known.failures = "", 0
            return
        self._start(key, known, plan, server_name, model)

    async def forget(self, key: str) -> None:
        """Ends what is under way for a model that is gone."""
        known = self._models.pop(key, None)
        if known and known.task:
            known.task.cancel()
            await asyncio.gather(known.task, return_exceptions=True)

    async def close(self) -> None:
        """Ends everything."""
        for key in list(self._models):
            await self.forget(key)

    def _without_written(self, known: _Gated, plan: GatePlan, gate: Gate | None) -> GatePlan:
        """Verdicts that were written come back through the watch a moment later."""
        name = gate_id(gate) if gate else ""

        def done(pod: ObservedPod) -> bool:
            said = known.written.get(pod.uid)
            return said is not None and (said[1] or said[0] == name)

        through = tuple(pod for pod in plan.let_through if not done(pod))
        return GatePlan(through, plan.compare if plan.compare and not done(plan.compare[1]) else None)

    def _start(self, key: str, known: _Gated, plan: GatePlan, server_name: str, model: GenAIModel) -> None:
        remaining = known.not_before - asyncio.get_running_loop().time()
        if known.failures and remaining > 0:
            self._wake(key, remaining)
            return
        if plan.compare:
            known.told = f"pod {plan.compare[1].name} is being measured against {plan.compare[0].name}"
        known.pods = frozenset(pod.uid for pod in plan.pods)
        known.task = asyncio.create_task(self._run(key, known, plan, server_name, model), name=f"gate of {key}")

    async def _run(self, key: str, known: _Gated, plan: GatePlan, server_name: str, model: GenAIModel) -> None:
        gate = model.spec.rollout.gate
        try:
            for pod in plan.let_through:
                await self._write(key, known, model, pod, no_comparison(gate))
            if plan.compare and gate:
                verdict = await self._compare(known, gate, server_name, plan.compare)
                await self._write(key, known, model, plan.compare[1], verdict)
        except (PodError, ClusterError) as error:
            known.failures += 1
            pause = back_off(known.failures, random.random(), first=_FIRST_RETRY, last=_LAST_RETRY)
            known.not_before = asyncio.get_running_loop().time() + pause
            known.told = f"a new pod waits to be measured: {error}"
            log.warning(
                "a new pod could not be measured", model=key, error=str(error), again_in_seconds=round(pause, 1)
            )
        else:
            known.failures, known.told = 0, ""
        self._wake(key, 0.0)

    async def _compare(
        self, known: _Gated, gate: Gate, server_name: str, pods: tuple[ObservedPod, ObservedPod]
    ) -> PodVerdict:
        """A regression counts only when a second measurement of both shows it, too."""
        old, new = (PodEndpoint(pod.ip, server_name) for pod in pods)
        template = (pods[0].template, gate_id(gate))
        before = known.remembered.get(template)
        if before is None:
            await self._until_idle(old)
            before = known.remembered[template] = await self._measure(old, gate)
        verdict = judge(gate, before, await self._measure(new, gate))
        if verdict.passed:
            return verdict
        await self._until_idle(old)
        before = known.remembered[template] = await self._measure(old, gate)
        return judge(gate, before, await self._measure(new, gate))

    async def _measure(self, pod: PodEndpoint, gate: Gate) -> Measured:
        reply = await self._client.measure(
            pod, gate.prompts, gate.max_tokens, _REPEATS, deadline_seconds=_MEASURE_SECONDS
        )
        return Measured(**asdict(reply))

    async def _until_idle(self, pod: PodEndpoint) -> None:
        """Returns when nothing runs or waits there, or when that takes too long."""
        until = asyncio.get_running_loop().time() + self._busy_seconds
        while asyncio.get_running_loop().time() < until:
            if not await self._client.requests(pod, deadline_seconds=_CALL_SECONDS):
                return
            await asyncio.sleep(_BUSY_PAUSE)

    async def _write(self, key: str, known: _Gated, model: GenAIModel, pod: ObservedPod, verdict: PodVerdict) -> None:
        try:
            await self._kube.apply(
                _condition(model.metadata.namespace, pod, verdict, self._clock()), subresource="status"
            )
        except (ClusterNotFound, ClusterConflict):
            return  # the pod is gone, or another one has its name: its event is on the way
        gate = model.spec.rollout.gate
        known.written[pod.uid] = (gate_id(gate) if gate else "", verdict.passed)
        log.info("pod measured", model=key, pod=pod.name, passed=verdict.passed, said=verdict.message)


def _condition(namespace: str, pod: ObservedPod, verdict: PodVerdict, now: datetime) -> dict[str, Any]:
    said = {
        "type": CONDITION_MEASURED,
        "status": "True" if verdict.passed else "False",
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    metadata = {"name": pod.name, "namespace": namespace, "uid": pod.uid}
    return {"apiVersion": POD.api_version, "kind": POD.kind, "metadata": metadata, "status": {"conditions": [said]}}
