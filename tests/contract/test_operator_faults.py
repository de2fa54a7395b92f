"""The operator's process where the cluster is in the way: a CRD that is not there, quotas, refusals, two operators."""

import json
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from support.control_ca import write_ca
from support.control_plane import ControlPlane, control_plane
from support.operator_process import Operator, Team, install_crds, new_team

CRD = "genaimodels.genai-operator.io"
SECONDS = 180.0
pytestmark = pytest.mark.timeout(600)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(0.1)


def told(operator: Operator, event: str) -> bool:
    return any(line["event"] == event for line in operator.log())


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        write_ca(running.folder / "ca")
        yield running


@pytest.fixture
def start(plane: ControlPlane) -> Iterator[Callable[[str], Operator]]:
    started: list[Operator] = []

    def make(name: str) -> Operator:
        operator = Operator(plane, plane.folder / "ca", name)
        started.append(operator)
        operator.start()
        return operator

    yield make
    for operator in started:
        operator.kill()


@pytest.fixture
def team(plane: ControlPlane, request: pytest.FixtureRequest) -> Team:
    return new_team(plane, request)


def test_without_the_crd_it_waits_in_good_health_and_begins_when_it_is_there(
    plane: ControlPlane, team: Team, start: Callable[[str], Operator]
) -> None:
    impatient = start("impatient")
    until(lambda: impatient.log_file.exists() and told(impatient, "waiting for the API server"), "the line in the log")
    assert json.loads(impatient.get("/healthz"))["ok"] is True
    assert impatient.end(signal.SIGTERM) == 0  # asked to end while it waits
    operator = start("waiting")
    until(lambda: told(operator, "waiting for the API server"), "the line in the log")
    install_crds(plane)
    team.model("hello")
    team.until_settled("hello")
    assert operator.process is not None
    assert operator.process.poll() is None
    waits = [line for line in operator.log() if line["event"] == "waiting for the API server"]
    assert len(waits) == 1  # a line a minute, not one an attempt


def test_when_the_crd_vanishes_one_restart_is_enough(
    plane: ControlPlane, team: Team, start: Callable[[str], Operator]
) -> None:
    install_crds(plane)
    operator = start("vanish")
    until(lambda: told(operator, "working"), "the operator works")
    team.model("hello")
    team.until_settled("hello")
    plane.kubectl("delete", "crd", CRD)
    assert operator.process is not None
    assert operator.process.wait(SECONDS) == 1
    last = operator.log()[-1]
    assert (last["event"], last["level"]) == ("stopping", "error")
    assert "CRD" in last["error"]
    again = start("vanish-again")  # as the kubelet does
    until(lambda: told(again, "waiting for the API server"), "the operator waits")
    assert json.loads(again.get("/healthz"))["ok"] is True
    install_crds(plane)
    team.model("hello")
    team.until_settled("hello")
    assert again.process is not None
    assert again.process.poll() is None


def test_a_quota_is_told_by_its_name_and_lifting_it_is_enough(
    plane: ControlPlane, team: Team, start: Callable[[str], Operator]
) -> None:
    install_crds(plane)
    operator = start("quota")
    team.kubectl("create", "quota", "none", "--hard=count/services=0")

    def counted() -> bool:
        return "count/services" in team.get("resourcequota", "none").get("status", {}).get("hard", {})

    team.until(counted, "the quota counts")
    team.model("hello")
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "QuotaExceeded"), "QuotaExceeded")
    conditions = team.get("genaimodel", "hello")["status"]["conditions"]
    message = next(each["message"] for each in conditions if each["type"] == "Accepted")
    assert "exceeded quota: none" in message
    assert team.find("deployment", "hello") is None
    team.kubectl("delete", "quota", "none")
    team.until(lambda: team.condition("hello", "Accepted") == ("True", "Accepted"), "Accepted")
    team.until_settled("hello")
    attempts = [line for line in operator.log() if line["event"] == "refused"]
    assert 1 <= len(attempts) <= 8
    assert not told(operator, "pass failed unexpectedly")


def test_a_spec_that_the_api_server_refuses_leaves_what_runs_and_is_told(
    plane: ControlPlane, team: Team, start: Callable[[str], Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What else a pod may have is not checked by the CRD: its Deployment is what the API server refuses.
    monkeypatch.setenv("GENAI_OPERATOR_ALLOW_POD_TEMPLATE", "true")
    install_crds(plane)
    start("invalid")
    team.model("hello")
    team.until_settled("hello")
    version = team.get("deployment", "hello")["metadata"]["resourceVersion"]
    team.model("hello", podTemplate={"spec": {"dnsPolicy": "Sometimes"}})
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "InvalidSpec"), "InvalidSpec")
    assert team.get("deployment", "hello")["metadata"]["resourceVersion"] == version
    team.model("hello", podTemplate={"spec": {"dnsPolicy": "Default"}})
    team.until(lambda: team.condition("hello", "Accepted") == ("True", "Accepted"), "Accepted")
    team.until_settled("hello")


def test_of_two_operators_the_holder_of_the_lease_writes_and_the_other_follows_when_it_is_killed(
    plane: ControlPlane, team: Team, start: Callable[[str], Operator]
) -> None:
    install_crds(plane)
    first = start("first")
    until(lambda: told(first, "working"), "the first works")
    second = start("second")
    until(lambda: told(second, "another operator holds the lease"), "the second waits")
    team.model("hello")
    team.until_settled("hello")

    def wrote(operator: Operator) -> bool:
        return told(operator, "applied") or told(operator, "status written")

    assert wrote(first)
    assert not wrote(second)
    assert json.loads(second.get("/healthz"))["ok"] is True
    first.kill()
    team.model("late")
    team.until_settled("late")
    assert wrote(second)
    lease = json.loads(plane.kubectl("get", "lease", "genai-operator", "--output=json"))
    assert lease["spec"]["holderIdentity"] == "second"
    assert lease["spec"]["leaseTransitions"] >= 1
