"""ModelService on a fake API server and fake pods: one pass, level-triggered, and nothing written without a change."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from genai_operator.api.runtime_options import RuntimeOptions
from genai_operator.clients.kube import KubeClient, Resource
from genai_operator.clients.runtime import ModelReply, OptionsReply, PodEndpoint, RuntimeClient
from genai_operator.constants import LABEL_MODEL
from genai_operator.errors import ClusterUnavailable, PodRejected, PodUnreachable
from genai_operator.services.cache import Cache
from genai_operator.services.certificates import ControlAuthority
from genai_operator.services.live_options import LiveOptions
from genai_operator.services.models import ModelService
from genai_operator.settings import OperatorSettings
from support.control_ca import make_ca
from support.fake_kube import FakeKube

Object = dict[str, Any]
KEY = "team/hello"
GROUP = "genai-operator.io"
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

    async def set_options(
        self, pod: PodEndpoint, revision: str, options: RuntimeOptions, *, deadline_seconds: float
    ) -> OptionsReply:
        self.names.add(pod.server_name)
        self.told.append((pod.ip, revision, options))
        if pod.ip in self.hanging:
            await asyncio.sleep(3600)
        if pod.ip in self.failures:
            raise self.failures[pod.ip]
        return OptionsReply(revision, ())

    async def get_model(self, pod: PodEndpoint, *, deadline_seconds: float) -> ModelReply:
        return ModelReply("single", "one CPU", "cpu", 2, 2048, 50.0, 0.1)

    async def forget(self, pod: PodEndpoint) -> None:
        self.forgotten.append(pod.ip)


class World:
    """The service with everything around it, and the hand of somebody else in the cluster."""

    def __init__(self) -> None:
        self.kube, self.pods, self.cache = FakeKube(), FakePods(), Cache()
        self.woken: set[str] = set()
        self.delays: list[float] = []
        self.kube.watchers.append(self._observe)
        settings = OperatorSettings()
        clock = lambda: datetime(2026, 11, 21, 12, tzinfo=UTC)  # noqa: E731 - one expression
        self.live = LiveOptions(cast(RuntimeClient, self.pods), settings, wake=self._wake, clock=clock)
        kube = cast(KubeClient, self.kube)
        self.service = ModelService(kube, self.cache, self.live, AUTHORITY, settings, clock)

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
                await self.service.reconcile(key)
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


@pytest.fixture
def world() -> World:
    return World()


async def test_a_model_gets_all_children_in_the_order_pods_need_them_and_a_status(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    assert world.children() == CHILDREN
    applied = [name for verb, kind, name in world.kube.writes if verb == "apply"]
    assert applied == ["hello-model", "hello-control-tls", "hello", "hello-headless", "hello"]
    assert world.condition("Accepted")[:2] == ("True", "Accepted")
    assert world.condition("Ready")[:2] == ("False", "ScaledToZero")
    assert world.status()["runtimeOptions"]["applied"] == "0/0"


async def test_a_pass_without_a_change_sends_nothing(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.kube.writes.clear()
    for _ in range(3):
        await world.service.reconcile(KEY)
    assert world.kube.writes == []


async def test_a_restarted_operator_changes_no_object(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    versions = {key: body["metadata"]["resourceVersion"] for key, body in world.kube.objects.items()}
    again = World()
    again.kube = world.kube
    again.kube.watchers[:] = [again._observe]
    kube = cast(KubeClient, again.kube)
    again.service = ModelService(kube, again.cache, again.live, AUTHORITY, OperatorSettings())
    for body in list(again.kube.objects.values()):
        again.kube._tell("ADDED", body)
    await again.settle()
    assert {key: body["metadata"]["resourceVersion"] for key, body in world.kube.objects.items()} == versions


async def test_an_edit_changes_the_deployment_and_nothing_else(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.kube.writes.clear()
    world.put_model(replicas=0, generation={"maxTokens": 77})
    await world.settle()
    assert [write for write in world.kube.writes if write[0] == "apply"] == [("apply", "Deployment", "hello")]


async def test_drift_is_repaired_whoever_caused_it(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    deployment = world.kube.find("Deployment", "hello")
    assert deployment is not None
    deployment["spec"]["replicas"] = 9
    world.kube.put(deployment)
    world.kube.remove("Service", "team", "hello-headless")
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 0
    assert world.children() == CHILDREN


async def test_a_child_that_is_no_longer_wanted_is_deleted(world: World) -> None:
    world.put_model(replicas=2)
    await world.settle()
    assert ("PodDisruptionBudget", "hello") in world.children()
    world.put_model(replicas=1)
    await world.settle()
    assert world.children() == CHILDREN


@pytest.mark.parametrize(("kind", "name"), CHILDREN)
async def test_a_foreign_object_of_a_childs_name_is_left_alone_and_named(world: World, kind: str, name: str) -> None:
    version = "apps/v1" if kind == "Deployment" else "v1"
    foreign = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "team"}, "data": {"a": "b"}}
    world.kube.put(foreign)
    world.put_model(replicas=0)
    assert await world.service.reconcile(KEY) is not None  # no event tells when the foreign object goes
    status, reason, message = world.condition("Accepted")
    assert (status, reason) == ("False", "NameConflict")
    assert name in message
    assert (world.kube.find(kind, name) or {})["data"] == {"a": "b"}
    if kind != "Secret":  # a Secret cannot be read: it is found when it is applied, after the ServiceAccount
        assert world.children() == [(kind, name)]
    world.kube.remove(kind, "team", name)
    await world.service.reconcile(KEY)
    assert world.children() == CHILDREN
    assert world.condition("Accepted")[:2] == ("True", "Accepted")


async def test_children_of_a_deleted_model_of_the_same_name_are_waited_for(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    old = {kind: world.kube.find(kind, name) for kind, name in CHILDREN}
    world.kube.remove("GenAIModel", "team", "hello")
    await world.settle()
    world.put_model(replicas=0)
    await world.settle()
    assert world.condition("Accepted")[1] == "NameConflict"
    for kind, name in CHILDREN:
        world.kube.remove(kind, "team", name)
    await world.settle()
    assert world.condition("Accepted")[1] == "Accepted"
    assert (world.kube.find("Deployment", "hello") or {})["metadata"]["uid"] != (old["Deployment"] or {})["metadata"][
        "uid"
    ]


async def test_an_invalid_spec_says_so_and_touches_neither_children_nor_other_models(world: World) -> None:
    world.put_model(replicas=0)
    world.put_model("bad", replicas="many")
    await world.settle()
    status, reason, message = world.condition("Accepted", "bad")
    assert (status, reason) == ("False", "InvalidSpec")
    assert "spec.replicas" in message
    assert world.children() == CHILDREN
    world.put_model(model={"uri": "../x"})
    await world.settle()
    assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")
    assert world.children() == CHILDREN


async def test_a_paused_model_keeps_its_children_as_they_are(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    world.put_model(annotations={"pause-reconciliation": "true"}, replicas=5)
    world.kube.remove("Service", "team", "hello")
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 0
    assert ("Service", "hello") not in world.children()
    assert world.condition("Progressing")[:2] == ("False", "Paused")
    world.put_model(replicas=5)
    await world.settle()
    assert (world.kube.find("Deployment", "hello") or {})["spec"]["replicas"] == 5
    assert ("Service", "hello") in world.children()


async def test_every_pod_is_told_once_and_says_what_it_serves(world: World) -> None:
    world.put_model(replicas=2, annotations={"terminate-session": "1"})
    world.put_pod("hello-1")
    world.put_pod("hello-2", ready=False)
    world.put_pod("hello-3", ready=False, running=False)
    await world.settle()
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.2"]
    assert all(options.terminate_session for _, _, options in world.pods.told)
    assert world.pods.names == {"hello.team.control.genai-operator.io"}
    assert world.status()["runtimeOptions"]["applied"] == "2/3"
    assert world.status()["effective"]["provider"] == "cpu"
    world.kube.writes.clear()
    await world.service.reconcile(KEY)
    assert (world.kube.writes, len(world.pods.told)) == ([], 2)


async def test_a_restarted_container_and_a_new_pod_are_told_again(world: World) -> None:
    world.put_model(annotations={"terminate-session": "1"})
    world.put_pod("hello-1")
    await world.settle()
    world.put_pod("hello-1", container="c2")
    world.put_pod("hello-2")
    await world.settle()
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]
    assert world.status()["runtimeOptions"]["applied"] == "2/2"
    world.kube.remove("Pod", "team", "hello-1")
    await world.settle()
    assert world.pods.forgotten == ["10.0.0.1"]


async def test_options_go_out_before_anything_is_written_and_a_pod_that_hangs_delays_nobody(world: World) -> None:
    world.put_model()
    world.put_pod("hello-1")
    world.put_pod("hello-2")
    await world.settle()
    world.pods.hanging.add("10.0.0.1")
    world.pods.told.clear()
    world.kube.failures[("apply", "Deployment")] = ClusterUnavailable("no answer")
    world.put_model(annotations={"terminate-session": "1"}, generation={"maxTokens": 77})
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert sorted(ip for ip, _, _ in world.pods.told) == ["10.0.0.1", "10.0.0.2"]
    world.put_model(annotations={"terminate-session": "0"}, generation={"maxTokens": 77})
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    await asyncio.sleep(0)
    assert [options.terminate_session for ip, _, options in world.pods.told if ip == "10.0.0.1"] == [True, False]
    await world.live.close()


async def test_a_pod_that_cannot_be_reached_is_reported_and_tried_again_later(world: World) -> None:
    world.pods.failures["10.0.0.1"] = PodUnreachable("no route")
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Unreachable")
    assert len(world.pods.told) == 1
    assert world.delays
    writes = len(world.kube.writes)
    await world.service.reconcile(KEY)
    assert (len(world.pods.told), len(world.kube.writes)) == (1, writes)


async def test_a_pods_refusal_is_final_until_the_options_change(world: World) -> None:
    world.pods.failures["10.0.0.1"] = PodRejected("no such option")
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    await world.service.reconcile(KEY)
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Rejected")
    assert len(world.pods.told) == 1
    del world.pods.failures["10.0.0.1"]
    world.put_model(annotations={"enable-profiling": "slow"})
    await world.settle()
    assert world.condition("RuntimeOptionsApplied")[:2] == ("True", "Applied")


@pytest.mark.parametrize("value", ["", "yes", "../../x", "x" * 102400, "🙂", "2"])
async def test_a_bad_value_leaves_pods_untouched_and_says_rejected(world: World, value: str) -> None:
    world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    world.pods.told.clear()
    world.put_model(annotations={"terminate-session": value})
    await world.settle()
    assert world.pods.told == []
    assert world.condition("RuntimeOptionsApplied")[:2] == ("False", "Rejected")


async def test_another_controllers_request_in_the_status_is_obeyed_and_kept(world: World) -> None:
    body = world.put_model()
    world.put_pod("hello-1")
    await world.settle()
    body = world.kube.find("GenAIModel", "hello") or {}
    body["status"]["requestedRuntimeOptions"] = {"terminateSession": "1"}
    world.kube.put(body)
    await world.settle()
    assert world.pods.told[-1][2].terminate_session
    assert world.status()["requestedRuntimeOptions"] == {"terminateSession": "1"}


async def test_events_tell_transitions_once(world: World) -> None:
    world.put_model(replicas=0)
    await world.settle()
    for _ in range(3):
        await world.service.reconcile(KEY)
    world.put_model(model={"uri": "../x"})
    await world.settle()
    events = [body for (kind, _, _), body in world.kube.objects.items() if kind == "Event"]
    reasons = [event["reason"] for event in events]
    assert len(reasons) == len(set(zip(reasons, (event["message"] for event in events), strict=True)))
    assert "InvalidSpec" in reasons
    assert all(event["involvedObject"]["name"] == "hello" for event in events)


async def test_an_event_that_cannot_be_posted_is_no_failure(world: World) -> None:
    world.kube.failures[("create", "Event")] = ClusterUnavailable("no answer")
    world.put_model(model={"uri": "../x"})
    await world.settle()
    assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")


async def test_what_the_api_server_does_not_take_is_tried_again_and_leaves_the_rest(world: World) -> None:
    world.kube.failures[("apply", "Service")] = ClusterUnavailable("no answer")
    world.put_model(replicas=0)
    with pytest.raises(ClusterUnavailable):
        await world.service.reconcile(KEY)
    world.kube.failures.clear()
    await world.settle()
    assert world.children() == CHILDREN


async def test_a_deleted_model_is_left_alone_and_forgotten(world: World) -> None:
    world.put_model(replicas=0)
    world.put_pod("hello-1")
    await world.settle()
    world.kube.remove("GenAIModel", "team", "hello")
    world.kube.writes.clear()
    await world.settle()
    assert (world.kube.writes, world.live.answers(KEY)) == ([], {})
