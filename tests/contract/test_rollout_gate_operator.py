"""The roll-out gate with the operator's own process, a real API server and pods that speak real gRPC.

What a fake API server cannot show: that the verdict lies in the pod's status beside the kubelet's conditions, and that
it outlives an operator that is killed.
"""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from genai_operator.constants import CONDITION_MEASURED, LABEL_MODEL
from genai_operator.services.certificates import ControlAuthority
from genai_protocol.v1 import control_pb2, inference_pb2
from support.model_resource import condition
from support.operator_process import Operator, Team, new_team, running_operator
from support.window_pods import WindowPod, windows_in_a_thread

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(600)
GATE = {"gate": {"prompts": ["Hello"], "maxTokens": 8}}


class MeasuredPod(WindowPod):
    """It says how fast it is; with `held` set, when the test lets it."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.speed = speed
        self.measured = 0
        self.held = threading.Event()
        self.held.set()

    async def Measure(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.measured += 1
        await asyncio.to_thread(self.held.wait)
        took = control_pb2.OperatorTime(
            op_type="MatMulNBits", provider="CPUExecutionProvider", microseconds_per_run=1e5 / self.speed
        )
        return control_pb2.MeasureResponse(tokens_per_second=self.speed, operators=[took])

    async def GetRuntimeOptions(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return control_pb2.RuntimeOptionsState(revision=self.options[-1] if self.options else "")

    async def GetModel(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return inference_pb2.GetModelResponse(engine="batch", provider="cpu")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
def team(operator: Operator, request: pytest.FixtureRequest) -> Team:
    return new_team(operator.plane, request)


RollOut = Callable[[Team, MeasuredPod, MeasuredPod], AbstractContextManager[None]]


@pytest.fixture
def roll_out(operator: Operator) -> RollOut:
    """A model with an old pod that serves and a new one that has loaded the model."""
    authority = ControlAuthority.load(operator.authority)

    @contextmanager
    def make(team: Team, old: MeasuredPod, new: MeasuredPod) -> Iterator[None]:
        team.model("hello", rollout=GATE)
        with windows_in_a_thread(authority, old, new, namespace=team.name):
            put_pod(team, "old", old, ready=True)
            time.sleep(1.1)  # creation times are whole seconds
            put_pod(team, "new", new, ready=False)
            yield

    return make


def put_pod(team: Team, name: str, pod: MeasuredPod, *, ready: bool) -> None:
    """A pod that no kubelet runs, of the template `name`: its status is written here, as a kubelet would."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {LABEL_MODEL: "hello", "pod-template-hash": name}},
        "spec": {
            "containers": [{"name": "model", "image": "none"}],
            "terminationGracePeriodSeconds": 0,
            "readinessGates": [{"conditionType": CONDITION_MEASURED}],
        },
    }
    team.kubectl("create", "--filename=-", stdin=json.dumps(body))
    conditions = [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    if ready:
        conditions.append({"type": CONDITION_MEASURED, "status": "True"})
    container = {
        "name": "model",
        "containerID": f"containerd://{name}",
        "image": "none",
        "imageID": "none",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}},
    }
    status = {
        "phase": "Running",
        "podIP": pod.ip,
        "podIPs": [{"ip": pod.ip}],
        "conditions": conditions,
        "containerStatuses": [container],
    }
    team.kubectl("patch", "pod", name, "--subresource=status", f"--patch={json.dumps({'status': status})}")


def verdict(team: Team) -> Object:
    return condition(team.get("pod", "new"), CONDITION_MEASURED)


def test_a_slower_pod_is_held_back_and_stays_so_when_the_operator_is_killed(
    operator: Operator, team: Team, roll_out: RollOut
) -> None:
    old, new = MeasuredPod(310), MeasuredPod(254)
    with roll_out(team, old, new):
        team.until(lambda: team.condition("hello", "Progressing") == ("False", "RolloutBlocked"), "blocked")
        said = condition(team.get("genaimodel", "hello"), "Progressing")["message"]
        assert said.startswith("regression 18% in MatMulNBits (old 310 tok/s, new 254 tok/s; ")
        pod = team.get("pod", "new")
        assert (verdict(team)["status"], verdict(team)["reason"]) == ("False", "Regressed")
        assert condition(pod, "ContainersReady")["status"] == "True"
        assert (old.measured, new.measured) == (2, 2)
        operator.end(signal.SIGKILL)
        operator.start()
        asked = len(old.options)
        team.until(lambda: len(old.options) > asked, "the new operator has looked at the model")
        assert team.condition("hello", "Progressing") == ("False", "RolloutBlocked")
        assert (old.measured, new.measured) == (2, 2)


def test_an_operator_killed_in_mid_measurement_measures_again(
    operator: Operator, team: Team, roll_out: RollOut
) -> None:
    old, new = MeasuredPod(100), MeasuredPod(120)
    new.held.clear()
    with roll_out(team, old, new):
        team.until(lambda: new.measured == 1, "the new pod is being measured")
        assert not verdict(team)
        operator.end(signal.SIGKILL)
        new.held.set()
        operator.start()
        team.until(lambda: verdict(team).get("status") == "True", "let through")
        assert verdict(team)["reason"] == "Measured"


def test_a_raised_limit_lets_the_same_pod_through(team: Team, roll_out: RollOut) -> None:
    old, new = MeasuredPod(100), MeasuredPod(70)
    with roll_out(team, old, new):
        team.until(lambda: verdict(team).get("status") == "False", "held back")
        team.model("hello", rollout={"gate": {**GATE["gate"], "maxRegressionPercent": 40}})
        team.until(lambda: verdict(team).get("status") == "True", "let through")
        team.until(lambda: team.condition("hello", "Progressing")[1] != "RolloutBlocked", "not blocked")
