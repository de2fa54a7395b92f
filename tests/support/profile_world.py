"""ProfileService with everything around it: a fake API server, real gRPC to fake pods. For tests of single passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from genai_operator.clients.kube import JOB, PROFILE, KubeClient, Resource, resource_of
from genai_operator.clients.runtime import RuntimeClient
from genai_operator.clients.windows import WindowClient
from genai_operator.constants import GROUP, LABEL_MODEL, LABEL_PROFILE
from genai_operator.services.cache import Cache
from genai_operator.services.certificates import ControlAuthority
from genai_operator.services.collector import Collector
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.profiles import ProfileService
from genai_operator.services.windows import LiveWindows
from genai_operator.settings import OperatorSettings
from support.control_ca import make_ca
from support.fake_kube import FakeKube
from support.window_pods import WindowPod, serving_windows

Object = dict[str, Any]
KEY = "team/slow"
AUTHORITY = ControlAuthority(*make_ca())


class ProfileWorld:
    """The service, the hand of somebody else in the cluster, and a clock that only tests move."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.delay: float | None = None
        self._runtimes: list[RuntimeClient] = []
        self.kube.watchers.append(self._observe)
        self.start()

    def start(self) -> None:
        """The operator, freshly started: it remembers nothing, and lists everything."""
        settings = OperatorSettings(push_deadline_seconds=0.5)
        kube = cast(KubeClient, self.kube)
        runtime = RuntimeClient(AUTHORITY.client_identity)
        self._runtimes.append(runtime)
        self.models, self.profiles = Cache(), ProfileCache()
        self.windows = LiveWindows(WindowClient(runtime), settings, clock=lambda: self.now.timestamp())
        collector = Collector(kube, self.profiles, AUTHORITY, settings)
        self.service = ProfileService(kube, self.models, self.profiles, self.windows, collector, clock=lambda: self.now)
        for body in self.kube.objects.values():
            self._observe(resource_of(body), "ADDED", body)

    async def close(self) -> None:
        for runtime in self._runtimes:
            await runtime.close()

    def _observe(self, resource: Resource, event: str, body: Object) -> None:
        cache: Any = self.profiles if resource in (PROFILE, JOB) else self.models
        if resource.kind in ("GenAIModel", "Pod", "GenAIProfile", "Job"):
            cache.observe(resource, event, body)

    async def run(self, key: str = KEY) -> None:
        """Passes over one profile until nothing is to be done at once."""
        for _ in range(10):
            self.delay = await self.service.reconcile(key)
            if self.delay != 0.0:
                return
        raise AssertionError("never settles")

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def put_model(self, name: str = "hello", *, halted: bool = False) -> Object:
        reason = "Halted" if halted else "Serving"
        condition = {"type": "Ready", "status": "True", "reason": reason}
        return self.kube.put(
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "GenAIModel",
                "metadata": {"name": name, "namespace": "team"},
                "spec": {"model": {"uri": "builtin://hello"}},
                "status": {"conditions": [condition]},
            }
        )

    def put_pod(self, name: str, pod: WindowPod, *, ready: bool = True, model: str = "hello") -> Object:
        return self.kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "team", "labels": {LABEL_MODEL: model}},
                "status": {
                    "phase": "Running",
                    "podIP": pod.ip,
                    "conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"containerID": "c", "state": {"running": {}}}],
                },
            }
        )

    def put_profile(self, name: str = "slow", **spec: Any) -> Object:
        """Creates the profile, or changes its spec as a patch does."""
        before = self.kube.find("GenAIProfile", name) or {}
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "GenAIProfile",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {"model": "hello", **spec},
            **({"status": before["status"]} if "status" in before else {}),
        }
        return self.kube.put(body)

    def window_id(self, name: str = "slow") -> str:
        found = self.kube.find("GenAIProfile", name)
        assert found is not None
        return f"gap-{found['metadata']['uid']}"

    def status(self, name: str = "slow") -> Object:
        found = self.kube.find("GenAIProfile", name)
        assert found is not None
        return dict(found.get("status", {}))

    def condition(self, kind: str, name: str = "slow") -> tuple[str, str, str]:
        found = next(each for each in self.status(name)["conditions"] if each["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def pods(self, name: str = "slow") -> dict[str, tuple[str, str]]:
        """State and reason of each pod's window."""
        return {pod["name"]: (pod["state"], pod["reason"]) for pod in self.status(name).get("pods", [])}

    def end_job(self, kind: str, words: str, name: str = "slow") -> None:
        """The Job controller and the kubelet: the collector ended."""
        job = self.kube.find("Job", f"{name}-collector")
        assert job is not None
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
        self.kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{name}-collector-x",
                    "namespace": "team",
                    "labels": {LABEL_PROFILE: name},
                    "ownerReferences": [{**owner, "uid": job["metadata"]["uid"]}],
                },
                "status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 0, "message": words}}}]},
            }
        )
        condition = {"type": kind, "status": "True", "message": "Job has reached its end"}
        self.kube.put({**job, "status": {"conditions": [condition]}})

    async def end_windows(self, pods: list[WindowPod], runs: int = 4) -> None:
        """All windows capture something and close by themselves."""
        window = self.window_id()
        for pod in pods:
            if window in pod.windows:
                pod.capture(window, runs)
                pod.finish(window)
        self.pass_time(2)
        await self.run()


@asynccontextmanager
async def profile_world(pods: int = 2, *, model: bool = True) -> AsyncIterator[tuple[ProfileWorld, list[WindowPod]]]:
    """A world with a model of so many Ready pods, hello-1 and on, that serve."""
    world, running = ProfileWorld(), [WindowPod() for _ in range(pods)]
    if model:
        world.put_model()
        for number, pod in enumerate(running, start=1):
            world.put_pod(f"hello-{number}", pod)
    async with serving_windows(AUTHORITY, *running):
        try:
            yield world, running
        finally:
            await world.close()
