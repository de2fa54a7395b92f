"""GenAIProfiles with the operator's own process, a real API server and pods that speak real gRPC.

What a fake API server cannot show: watches, stored statuses, garbage collection, and an operator that is killed.
"""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from genai_operator.constants import GROUP, LABEL_MODEL
from genai_operator.services.certificates import ControlAuthority
from support.operator_process import Operator, Team, new_team, running_operator
from support.window_pods import WindowPod, windows_in_a_thread

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
def team(operator: Operator, request: pytest.FixtureRequest) -> Team:
    return new_team(operator.plane, request)


class Profiled:
    """A model of pods that only know windows, and its profiles."""

    def __init__(self, team: Team, pods: list[WindowPod]) -> None:
        self.team = team
        self.pods = pods

    def profile(self, name: str = "slow", **spec: Any) -> None:
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "GenAIProfile",
            "metadata": {"name": name},
            "spec": {"model": "hello", **spec},
        }
        self.team.kubectl("apply", "--filename=-", stdin=json.dumps(body))

    def get(self, name: str = "slow") -> Object:
        return self.team.get("genaiprofile", name)

    def phase(self, name: str = "slow") -> str:
        return str(self.get(name).get("status", {}).get("phase"))

    def window_id(self, name: str = "slow") -> str:
        return f"gap-{self.get(name)['metadata']['uid']}"

    def wait_open(self, name: str = "slow") -> str:
        """Waits until the window is open on every pod; returns its id."""
        window = self.window_id(name)
        self.team.until(lambda: all(window in pod.windows for pod in self.pods), f"{name} is open")
        self.team.until(lambda: self.phase(name) == "Running", f"{name} says so")
        return window

    def end(self, window: str) -> None:
        for pod in self.pods:
            if pod.state(window) == "OPEN":
                pod.capture(window)
                pod.finish(window)


Start = Callable[[Team, int], AbstractContextManager[Profiled]]


@pytest.fixture
def start(operator: Operator) -> Start:
    authority = ControlAuthority.load(operator.authority)

    @contextmanager
    def make(team: Team, count: int) -> Iterator[Profiled]:
        pods = [WindowPod() for _ in range(count)]
        team.model("hello")
        with windows_in_a_thread(authority, *pods, namespace=team.name):
            for number, pod in enumerate(pods, start=1):
                _put_pod(team, f"hello-{number}", pod)
            yield Profiled(team, pods)

    return make


def _put_pod(team: Team, name: str, pod: WindowPod) -> None:
    """A pod that no kubelet runs: its status is written here."""
    container = {"name": "model", "image": "none"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {LABEL_MODEL: "hello"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    team.kubectl("create", "--filename=-", stdin=json.dumps(body))
    state = {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
    status = {
        "phase": "Running",
        "podIP": pod.ip,
        "podIPs": [{"ip": pod.ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "model",
                "containerID": f"containerd://{name}",
                "image": "none",
                "imageID": "none",
                "ready": True,
                "restartCount": 0,
                "state": state,
            }
        ],
    }
    team.kubectl("patch", "pod", name, "--subresource=status", f"--patch={json.dumps({'status': status})}")


def test_a_profile_runs_to_its_end_and_applied_again_it_does_not_run_again(team: Team, start: Start) -> None:
    with start(team, 2) as profiled:
        profiled.profile()
        window = profiled.wait_open()
        profiled.end(window)
        team.until(lambda: profiled.phase() == "Complete", "complete")
        body = profiled.get()
        assert body["status"]["progress"] == "2/2"
        assert "finalizers" not in body["metadata"]
        profiled.profile()
        profiled.profile("marker")  # when this one is open, whatever the first one had to do is done as well
        profiled.wait_open("marker")
        assert [pod.opened for pod in profiled.pods] == [[window, profiled.window_id("marker")]] * 2
        assert profiled.get()["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]


def test_a_pod_deleted_in_mid_window(team: Team, start: Start) -> None:
    with start(team, 2) as profiled:
        profiled.profile()
        window = profiled.wait_open()
        team.kubectl("delete", "pod", "hello-1", "--force", "--grace-period=0")
        profiled.end(window)
        team.until(lambda: profiled.phase() == "Complete", "complete")
        states = {pod["name"]: pod["reason"] for pod in profiled.get()["status"]["pods"]}
        assert states == {"hello-1": "PodGone", "hello-2": "MaxRuns"}


def test_suspended_and_deleted_in_mid_window(team: Team, start: Start) -> None:
    with start(team, 1) as profiled:
        (pod,) = profiled.pods
        profiled.profile()
        window = profiled.wait_open()
        pod.capture(window)
        profiled.profile(suspend=True)
        team.until(lambda: profiled.phase() == "Complete", "complete")
        assert pod.state(window) == "COMPLETE"
        profiled.profile("deleted")
        other = profiled.wait_open("deleted")
        team.kubectl("delete", "gap", "deleted", "--wait", "--timeout=120s")  # no finalizer waits for the operator
        team.until(lambda: pod.state(other) != "OPEN", "closed")


def test_an_operator_that_is_killed_in_mid_window_goes_on(operator: Operator, team: Team, start: Start) -> None:
    with start(team, 2) as profiled:
        profiled.profile()
        profiled.profile("orphan", pods={"names": ["hello-1"]})
        window = profiled.wait_open()
        operator.end(signal.SIGKILL)
        profiled.end(window)
        operator.start()
        team.until(lambda: profiled.phase() == "Complete", "complete")
        assert [pod.asked[0].window_id for pod in profiled.pods] == [window, window]
        assert all(pod.opened.count(window) == 1 for pod in profiled.pods)
        orphan = profiled.window_id("orphan")
        team.until(lambda: orphan in profiled.pods[0].windows, "the one that waited is open")
        operator.end(signal.SIGKILL)
        team.kubectl("delete", "gap", "orphan", "--wait", "--timeout=120s")
        operator.start()
        team.until(lambda: profiled.pods[0].state(orphan) != "OPEN", "closed after the start")


def test_a_finished_profile_is_deleted_in_its_time(team: Team, start: Start) -> None:
    with start(team, 1) as profiled:
        profiled.profile(ttlSecondsAfterFinished=1)
        profiled.end(profiled.wait_open())
        team.until(lambda: team.find("gap", "slow") is None, "deleted")


def test_the_collectors_job_is_taken_by_the_api_server_and_owned_by_the_profile(team: Team, start: Start) -> None:
    output = {"type": "S3", "s3": {"uri": "s3://traces/slow", "endpoint": "http://minio:9000", "secretName": "keys"}}
    with start(team, 1) as profiled:
        # From now on: the stand-ins of the model's pods are there.
        team.kubectl("label", "namespace", team.name, "pod-security.kubernetes.io/enforce=restricted")
        profiled.profile(output=output)
        profiled.end(profiled.wait_open())
        team.until(lambda: team.find("job", "slow-collector") is not None, "the Job")
        team.until(lambda: profiled.phase() == "Collecting", "Collecting")
        uid = profiled.get()["metadata"]["uid"]
        for kind, name in (("job", "slow-collector"), ("secret", "slow-collector-tls")):
            assert [owner["uid"] for owner in team.get(kind, name)["metadata"]["ownerReferences"]] == [uid]

        def made() -> bool:
            return bool(json.loads(team.kubectl("get", "pods", "-l", f"{GROUP}/profile=slow", "-ojson"))["items"])

        team.until(made, "the collector's pod is admitted where Pod Security is restricted")
        team.kubectl("delete", "gap", "slow", "--wait", "--timeout=120s")
        team.until(lambda: team.find("job", "slow-collector") is None, "garbage collection")


def test_the_log_has_no_errors(operator: Operator) -> None:
    # gRPC's own library writes a line of another form when a pod goes away.
    lines = [json.loads(line) for line in operator.log_file.read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["event"] == "window opened"]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
