"""ModelService with everything around it, on a fake API server and fake pods. For unit tests of single passes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from genai_operator.api.runtime_options import RuntimeOptions
from genai_operator.clients.fetch import FetchClient, FetchReply
from genai_operator.clients.kube import KubeClient, Resource
from genai_operator.clients.measuring import MeasureReply, MeasuringClient
from genai_operator.clients.option_messages import OptionsReply
from genai_operator.clients.runtime import ModelReply, PodEndpoint, RuntimeClient
from genai_operator.constants import GROUP, LABEL_MODEL
from genai_operator.services.cache import Cache
from genai_operator.services.certificates import ControlAuthority
from genai_operator.services.fetches import Fetches
from genai_operator.services.live_options import LiveOptions
from genai_operator.services.models import ModelService, PodCalls
from genai_operator.services.rollout_gate import RolloutGate
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import building_container
from support.control_ca import make_ca
from support.fake_kube import FakeKube

Object = dict[str, Any]
KEY = "team/hello"
AUTHORITY = ControlAuthority(*make_ca())
CHILDREN = [
    ("Deployment", "hello"),
    ("Secret", "hello-control-tls"),
    ("Service", "hello"),
    ("Service", "hello-headless"),
    ("ServiceAccount", "hello-model"),
]


class FakePods:
    """Takes the place of `RuntimeClient`; pods are told apart by address."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, RuntimeOptions]] = []
        self.failures: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.names: set[str] = set()
        self.forgotten: list[str] = []
        self.has: dict[str, OptionsReply] = {}  # what a pod says that it has
        self.reviewed: list[str] = []
        self.speeds: dict[str, list[float]] = {}  # of one measurement after the other; the last one stays
        self.measured: list[str] = []
        self.busy = 0
        self.fetched: dict[str, list[FetchReply]] = {}  # of one call after the other; the last one stays
        self.asked: list[str] = []  # how far their fetch is

    async def set_options(
        self, pod: PodEndpoint, revision: str, options: RuntimeOptions, *, deadline_seconds: float
    ) -> OptionsReply:
        self.names.add(pod.server_name)
        self.told.append((pod.ip, revision, options))
        if pod.ip in self.hanging:
            await asyncio.sleep(3600)
        if pod.ip in self.failures:
            raise self.failures[pod.ip]
        counts = self.has.get(pod.ip, OptionsReply("", ()))
        self.has[pod.ip] = replace(counts, revision=revision)
        return self.has[pod.ip]

    async def get_options(self, pod: PodEndpoint, *, deadline_seconds: float) -> OptionsReply:
        self.reviewed.append(pod.ip)
        if pod.ip in self.failures:
            raise self.failures[pod.ip]
        return self.has[pod.ip]

    async def get_model(self, pod: PodEndpoint, *, deadline_seconds: float) -> ModelReply:
        return ModelReply("batch", "a graph it knows", "cpu", 2, 2048, 50.0, 0.1, 16, 64, 32768, True)

    async def measure(
        self, pod: PodEndpoint, prompts: Sequence[str], max_tokens: int, repeats: int, *, deadline_seconds: float
    ) -> MeasureReply:
        self.measured.append(pod.ip)
        if pod.ip in self.hanging:
            await asyncio.sleep(3600)
        if pod.ip in self.failures:
            raise self.failures[pod.ip]
        speeds = self.speeds[pod.ip]
        speed = speeds.pop(0) if len(speeds) > 1 else speeds[0]
        return MeasureReply(speed, 0.01, (("MatMul", "CPUExecutionProvider", 1e5 / speed),))

    async def requests(self, pod: PodEndpoint, *, deadline_seconds: float) -> int:
        return self.busy

    async def progress(self, pod: PodEndpoint, *, deadline_seconds: float) -> FetchReply:
        self.asked.append(pod.ip)
        if pod.ip in self.failures:
            raise self.failures[pod.ip]
        replies = self.fetched[pod.ip]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    async def forget(self, pod: PodEndpoint) -> None:
        self.forgotten.append(pod.ip)


class World:
    """The service with everything around it, and the hand of somebody else in the cluster."""

    def __init__(self, *, review_seconds: float = 60.0) -> None:
        self.kube, self.pods, self.cache = FakeKube(), FakePods(), Cache()
        self.woken: set[str] = set()
        self.delays: list[float] = []
        self.kube.watchers.append(self._observe)
        settings = OperatorSettings(review_seconds=review_seconds)
        clock = lambda: datetime(2026, 11, 21, 12, tzinfo=UTC)  # noqa: E731 - one expression
        self.live = LiveOptions(cast(RuntimeClient, self.pods), settings, wake=self._wake, clock=clock)
        kube = cast(KubeClient, self.kube)
        measuring = cast(MeasuringClient, self.pods)
        self.fetches = Fetches(cast(FetchClient, self.pods), wake=self._wake)
        self.gate = RolloutGate(kube, measuring, wake=self._wake, clock=clock, busy_seconds=0.05)
        self.builds = Fetches(cast(FetchClient, self.pods), wake=self._wake, working=building_container)
        calls = PodCalls(self.live, self.gate, self.fetches, self.builds)
        self.service = ModelService(kube, self.cache, calls, AUTHORITY, settings, clock)

    def _observe(self, resource: Resource, event: str, body: Object) -> None:
        # Only labelled children are watched, and no Secrets.
        if resource.kind == "Secret":
            return
        key = self.cache.observe(resource, event, body)
        if key:
            self.woken.add(key)

    def _wake(self, key: str, seconds: float) -> None:
        if seconds > 0:
            self.delays.append(seconds)
        else:
            self.woken.add(key)

    async def settle(self) -> None:
        """Passes until nobody asks for another."""
        for _ in range(20):
            for key in sorted(self.woken):
                self.woken.discard(key)
                after = await self.service.reconcile(key)
                if after is not None and after < 0.5:  # the Deployment's controller, which is not here, is waited for
                    await asyncio.sleep(after)
                    self.woken.add(key)
            await asyncio.sleep(0.01)
            if not self.woken:
                return
        raise AssertionError(f"never settles: {self.kube.writes[-10:]}")

    def put_model(self, name: str = "hello", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
        named = {f"{GROUP}/{key}": value for key, value in (annotations or {}).items()}
        before = self.kube.find("GenAIModel", name) or {}
        return self.kube.put(
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "GenAIModel",
                "metadata": {"name": name, "namespace": "team", "annotations": named},
                "spec": {"model": {"uri": "builtin://hello"}, **spec},
                **({"status": before["status"]} if "status" in before else {}),
            }
        )

    def put_pod(self, name: str, *, ready: bool = True, container: str = "c1", running: bool = True) -> Object:
        state = {"running": {}} if running else {"waiting": {"reason": "ContainerCreating"}}
        return self.kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "team", "labels": {LABEL_MODEL: "hello"}},
                "status": {
                    "phase": "Running",
                    "podIP": f"10.0.0.{name[-1]}",
                    "conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"containerID": container, "state": state}],
                },
            }
        )

    def children(self) -> list[tuple[str, str]]:
        kinds = {"Deployment", "Secret", "Service", "ServiceAccount", "PodDisruptionBudget"}
        return sorted((kind, name) for kind, _, name in self.kube.objects if kind in kinds)

    def condition(self, kind: str, name: str = "hello") -> tuple[str, str, str]:
        status = (self.kube.find("GenAIModel", name) or {}).get("status", {})
        found = next(each for each in status.get("conditions", []) if each["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def status(self) -> Object:
        return dict((self.kube.find("GenAIModel", "hello") or {})["status"])
