"""Building models on a real API server with its Job controller. Nothing runs there: the kubelet's words are the test's.

One control plane and one operator for the whole file; every test has its own namespace.
"""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support.operator_process import GROUP, Operator, Team, new_team, running_operator

pytestmark = pytest.mark.timeout(600)

Object = dict[str, Any]
SOURCE: Object = {"uri": "hf://org/model@main", "cache": {"claimName": "cache"}, "build": {}}
DIGEST, OTHER = "d" * 64, "e" * 64
QUALITY = {"perplexity": 10.2, "referencePerplexity": 10.0, "tokens": 512, "text": "of the image"}
RESULT = {"digest": DIGEST, "bytes": 5, "files": 6, "cached": False, "builder": "b 1", "seconds": 1.0}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
def team(operator: Operator, request: pytest.FixtureRequest) -> Team:
    return new_team(operator.plane, request)


def make(team: Team, precision: str = "int4", **build: Any) -> None:
    team.model("hello", model={**SOURCE, "build": build}, precision=precision)


def build_of(team: Team) -> Object:
    return dict(team.get("genaimodel", "hello").get("status", {}).get("build", {}))


def job_uid(team: Team) -> str:
    found = team.find("job", "hello-build")
    return found["metadata"]["uid"] if found else ""


def pods(team: Team) -> list[Object]:
    """Of the present Job."""
    found = json.loads(team.kubectl("get", "pods", f"--selector={GROUP}/build=hello", "--output=json"))["items"]
    owner = job_uid(team)
    return [each for each in found if each["metadata"]["ownerReferences"][0]["uid"] == owner]


def end(team: Team, words: Object, code: int = 0) -> Object:
    """What a kubelet writes: the pod's container ended with these words. Returns the pod as it was made."""
    team.until(lambda: bool(pods(team)), "the Job's pod")
    (pod,) = pods(team)
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": json.dumps(words)}
    plain = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "initContainerStatuses": [{"name": "fetch", **plain, "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [{"name": "build", **plain, "state": {"terminated": ended}}],
    }
    patch = json.dumps({"status": status})
    team.kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")
    return pod


def told(team: Team) -> list[str]:
    """The arguments of the Deployment's init container; none while there is no Deployment."""
    deployment = team.find("deployment", "hello")
    containers = deployment["spec"]["template"]["spec"]["initContainers"] if deployment else []
    return [argument for each in containers for argument in each["args"]]


def test_a_model_is_built_once_by_whichever_operator_and_then_has_its_pods(operator: Operator, team: Team) -> None:
    make(team)
    team.until(lambda: build_of(team).get("state") == "Pending", "a build Job")
    assert team.condition("hello", "Ready") == ("False", "ScaledToZero")
    assert team.condition("hello", "ModelBuilt") == ("False", "Building")
    assert team.condition("hello", "Progressing") == ("True", "Building")
    assert team.find("deployment", "hello") is None
    operator.end(signal.SIGKILL)
    pod = end(team, {**RESULT, "quality": QUALITY})  # while no operator looks
    assert f"{GROUP}/model" not in pod["metadata"]["labels"]
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["fetch"]
    operator.start()
    team.until(lambda: team.condition("hello", "ModelBuilt") == ("True", "Built"), "it is built")
    team.until(lambda: DIGEST in told(team), "the Deployment")
    team.until_settled("hello")
    found = build_of(team)
    assert (found["state"], found["digest"], found["quality"]["increasePercent"]) == ("Complete", DIGEST, 2.0)
    assert found["served"]["precision"] == "int4"
    assert "--offline" in told(team)
    before = team.get("genaimodel", "hello")["metadata"]["resourceVersion"]
    operator.end(signal.SIGKILL)
    team.kubectl("delete", "job", "hello-build")
    operator.start()
    team.model("marker")
    team.until_settled("marker")
    assert team.get("genaimodel", "hello")["metadata"]["resourceVersion"] == before
    assert team.find("job", "hello-build") is None


def test_another_precision_keeps_the_deployment_until_it_is_built(team: Team) -> None:
    make(team)
    end(team, RESULT)
    team.until(lambda: DIGEST in told(team), "the Deployment")
    team.until_settled("hello")
    first, old = job_uid(team), team.get("deployment", "hello")["spec"]
    make(team, "int8")
    team.until(lambda: job_uid(team) not in ("", first), "another Job")
    team.until(lambda: team.condition("hello", "Progressing") == ("True", "Building"), "the status says so")
    assert team.get("deployment", "hello")["spec"] == old
    team.kubectl("scale", "genaimodel", "hello", "--replicas=2")  # what serves can still be scaled
    team.until(lambda: team.get("deployment", "hello")["spec"]["replicas"] == 2, "two replicas")
    assert team.get("deployment", "hello")["spec"]["template"] == old["template"]
    end(team, {**RESULT, "digest": OTHER})
    team.until(lambda: OTHER in told(team), "the other build")
    (container,) = team.get("deployment", "hello")["spec"]["template"]["spec"]["containers"]
    assert json.loads(container["env"][0]["value"])["precision"] == "int8"


def test_a_failed_build_is_told_and_made_again_by_another_request_alone(team: Team) -> None:
    make(team)
    pod = end(team, {"reason": "BuildFailed", "message": "no such architecture"}, code=1)["metadata"]["name"]
    team.until(lambda: build_of(team).get("state") == "Failed", "it failed")
    said = build_of(team)
    assert said["message"] == f"no such architecture; see kubectl logs -n {team.name} {pod} -c build"
    assert said["pod"] == pod
    for kind in ("ModelBuilt", "Progressing"):
        assert team.condition("hello", kind) == ("False", "BuildFailed")

    def warned() -> bool:
        events = json.loads(team.kubectl("get", "events", "--output=json"))["items"]
        return any((each["type"], each["reason"]) == ("Warning", "BuildFailed") for each in events)

    team.until(warned, "an Event")
    first = job_uid(team)
    team.model("marker")
    team.until_settled("marker")
    assert (job_uid(team), len(pods(team))) == (first, 1)  # neither the Job nor the operator tries it again
    make(team, request="again")
    team.until(lambda: job_uid(team) not in ("", first), "another Job")
    end(team, RESULT)
    team.until(lambda: DIGEST in told(team), "the Deployment")


def test_deleting_the_model_deletes_its_job_and_suspending_it_as_well(team: Team) -> None:
    make(team)
    team.until(lambda: bool(pods(team)), "the Job's pod")
    team.kubectl("patch", "genaimodel", "hello", "--type=merge", '--patch={"spec": {"suspend": true}}')
    team.until(lambda: team.find("job", "hello-build") is None, "no Job of a suspended model")
    team.until(lambda: team.condition("hello", "ModelBuilt") == ("False", "Suspended"), "it says so")
    team.kubectl("patch", "genaimodel", "hello", "--type=merge", '--patch={"spec": {"suspend": false}}')
    team.until(lambda: bool(job_uid(team)), "a Job again")
    team.kubectl("delete", "genaimodel", "hello")
    team.until(lambda: team.find("job", "hello-build") is None, "garbage collection")


def test_the_log_is_json_without_errors(operator: Operator) -> None:
    assert [line for line in operator.log() if line["level"] in ("error", "critical")] == []
