"""The operator's own process against a real API server with the project's CRD: what a FakeKube cannot show.

One control plane and one operator for the whole file; every test has its own namespace.
"""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support.control_ca import write_ca
from support.control_plane import control_plane
from support.operator_process import GROUP, Operator, Team, install_crds, new_team

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with control_plane(tmp_path_factory.mktemp("plane")) as plane:
        running = Operator(plane, write_ca(plane.folder / "ca"))
        running.start()  # before the CRD is there: it has to wait for it
        install_crds(plane)
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def team(operator: Operator, request: pytest.FixtureRequest) -> Team:
    return new_team(operator.plane, request)


def test_a_model_becomes_its_children_with_one_owner_and_no_finalizer(team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    body = team.get("genaimodel", "hello")
    children = [
        team.get(kind, name)
        for kind, name in (
            ("deployment", "hello"),
            ("service", "hello"),
            ("service", "hello-headless"),
            ("serviceaccount", "hello-model"),
            ("secret", "hello-control-tls"),
        )
    ]
    for each in children:
        assert [owner["uid"] for owner in each["metadata"]["ownerReferences"]] == [body["metadata"]["uid"]]
        assert "finalizers" not in each["metadata"]
    assert "finalizers" not in body["metadata"]
    assert not [name for name in body["metadata"].get("annotations", {}) if "kopf" in name]
    assert team.condition("hello", "Ready") == ("False", "ScaledToZero")


def test_nothing_is_written_while_nothing_changes(team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    kinds = "genaimodel,deployment,service,serviceaccount,secret"

    def versions() -> dict[str, str]:
        items = json.loads(team.kubectl("get", kinds, "--output=json"))["items"]
        return {item["kind"] + item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}

    before = versions()
    team.model("marker")  # when this one is done, whatever the first one still had to do is done as well
    team.until_settled("marker")
    after = versions()
    assert {name: version for name, version in after.items() if "marker" not in name} == before


def test_drift_and_deletions_are_repaired(team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    uid = team.get("service", "hello")["metadata"]["uid"]
    team.kubectl("delete", "service", "hello")
    team.kubectl("scale", "deployment", "hello", "--replicas=3")
    team.kubectl("label", "serviceaccount", "hello-model", f"{GROUP}/model-", f"{GROUP}/x=y")
    team.until(
        lambda: (team.find("service", "hello") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, "Service"
    )
    team.until(lambda: team.get("deployment", "hello")["spec"]["replicas"] == 0, "replicas")
    team.until(
        lambda: team.get("serviceaccount", "hello-model")["metadata"]["labels"].get(f"{GROUP}/model") == "hello",
        "label",
    )


@pytest.mark.parametrize("kind", ["service", "secret"])
def test_a_foreign_object_is_left_alone(team: Team, kind: str) -> None:
    name = {"service": "hello", "secret": "hello-control-tls"}[kind]
    if kind == "service":
        team.kubectl("create", "service", "clusterip", name, "--tcp=80")
    else:
        team.kubectl("create", "secret", "generic", name, "--from-literal=a=b")
    before = team.get(kind, name)
    team.model("hello")
    team.until(lambda: team.condition("hello", "Accepted") == ("False", "NameConflict"), "NameConflict")
    assert team.get(kind, name) == before
    assert team.find("deployment", "hello") is None
    team.kubectl("delete", kind, name)
    team.until(lambda: team.condition("hello", "Accepted") == ("True", "Accepted"), "Accepted")
    team.until_settled("hello")


def test_deleting_a_model_deletes_its_children_and_the_same_name_works_again(team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    uid = team.get("genaimodel", "hello")["metadata"]["uid"]
    team.kubectl("delete", "genaimodel", "hello")
    team.model("hello")
    team.until(lambda: team.get("genaimodel", "hello")["metadata"]["uid"] != uid, "the new model")
    team.until_settled("hello")
    owner = team.get("deployment", "hello")["metadata"]["ownerReferences"][0]["uid"]
    assert owner != uid
    team.kubectl("delete", "genaimodel", "hello")
    team.until(lambda: team.find("deployment", "hello") is None, "garbage collection")


def test_a_bad_value_is_rejected_and_removing_it_is_enough(team: Team) -> None:
    team.model("hello", annotations={"terminate-session": "../../x"})
    team.until(lambda: team.condition("hello", "RuntimeOptionsApplied") == ("False", "Rejected"), "Rejected")
    team.kubectl("annotate", "genaimodel", "hello", f"{GROUP}/terminate-session-")
    team.until_settled("hello")


def test_other_managers_conditions_and_requests_survive(team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    before = team.get("genaimodel", "hello")["status"]["runtimeOptions"]["revision"]
    request = {"status": {"requestedRuntimeOptions": {"enableProfiling": "slow"}}}
    team.kubectl(
        "patch", "genaimodel", "hello", "--subresource=status", "--type=merge", f"--patch={json.dumps(request)}"
    )

    def answered() -> bool:
        return bool(team.get("genaimodel", "hello")["status"]["runtimeOptions"]["revision"] != before)

    team.until(answered, "a new revision")
    team.until_settled("hello")
    assert team.get("genaimodel", "hello")["status"]["requestedRuntimeOptions"] == {"enableProfiling": "slow"}


def test_a_burst_of_edits_ends_in_the_last_one(team: Team) -> None:
    team.model("hello")
    for tokens in range(100, 120):
        patch = json.dumps({"spec": {"generation": {"maxTokens": tokens}}})
        team.kubectl("patch", "genaimodel", "hello", "--type=merge", f"--patch={patch}")

    def value() -> str:
        container = team.get("deployment", "hello")["spec"]["template"]["spec"]["containers"][0]
        return str(json.loads(container["env"][0]["value"])["default_max_tokens"])

    team.until_settled("hello")
    team.until(lambda: value() == "119", "the last edit")


def test_health_and_metrics(operator: Operator, team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    assert json.loads(operator.get("/healthz")) == {"ok": True, "ailments": []}
    metrics = operator.get("/metrics")
    for name in ("workqueue_depth", "workqueue_adds_total", "controller_runtime_reconcile_total", "process_resident"):
        assert name in metrics


def test_a_killed_operator_catches_up_and_a_stopped_one_gives_its_lease_back(operator: Operator, team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    secret = team.get("secret", "hello-control-tls")["metadata"]["resourceVersion"]
    operator.end(signal.SIGKILL)
    team.kubectl("delete", "service", "hello")
    team.model("late")
    operator.start()
    team.until_settled("late")
    team.until(lambda: team.find("service", "hello") is not None, "the Service")
    assert team.get("secret", "hello-control-tls")["metadata"]["resourceVersion"] == secret
    assert operator.end(signal.SIGTERM) == 0
    lease = json.loads(operator.plane.kubectl("get", "lease", "genai-operator", "--output=json"))
    assert lease["spec"].get("holderIdentity", "") == ""
    team.kubectl("delete", "genaimodel", "--all", "--wait", "--timeout=120s")  # no finalizer waits for the operator
    operator.start()


def test_a_tuning_job_is_made_once_its_words_become_a_recommendation_and_pods_get_it(team: Team) -> None:
    team.model("hello", tuning={"apply": "Automatic", "load": {"clients": 2}})
    team.until_settled("hello")

    def recommended() -> dict[str, Any]:
        return dict(team.get("genaimodel", "hello")["status"].get("recommended", {}))

    team.until(lambda: recommended().get("state") == "Running", "a tuning Job")
    job = team.get("job", "hello-tuning")
    selected = f"--selector={GROUP}/tuning=hello"

    def pods() -> list[dict[str, Any]]:
        return list(json.loads(team.kubectl("get", "pods", selected, "--output=json"))["items"])

    team.until(lambda: bool(pods()), "the Job's pod")
    (pod,) = pods()
    assert f"{GROUP}/model" not in pod["metadata"]["labels"]
    result = {
        "settings": {"intraOpThreads": 1, "maxBatchSize": 4},
        "figures": [{"clients": 2, "tokensPerSecond": 12.0, "baselineTokensPerSecond": 10.0, "gainPercent": 20.0}],
        "load": {"clients": [2], "promptTokens": 64, "newTokens": 64},
    }
    ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(result)}
    container = {"name": "tuning", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    status = {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": ended}}]}
    patch = json.dumps({"status": status})
    team.kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")
    team.until(lambda: recommended().get("state") == "Complete", "a recommendation")
    assert recommended()["settings"] == result["settings"]
    assert recommended()["applied"] is False  # the batch size is the user's to write

    def threads() -> object:
        container = team.get("deployment", "hello")["spec"]["template"]["spec"]["containers"][0]
        return json.loads(container["env"][0]["value"])["threads"]

    team.until(lambda: threads() == 1, "the recommended threads in the pods' template")
    before = team.get("genaimodel", "hello")["metadata"]["resourceVersion"]
    team.model("marker")
    team.until_settled("marker")
    assert team.get("genaimodel", "hello")["metadata"]["resourceVersion"] == before
    assert team.get("job", "hello-tuning")["metadata"]["uid"] == job["metadata"]["uid"]
    team.model("hello")
    team.until(lambda: team.find("job", "hello-tuning") is None, "no tuning, no Job")
    team.until(lambda: not recommended(), "no tuning, no recommendation")
    team.until(lambda: threads() == "auto", "threads as they were")


def job_pod(team: Team, label: str) -> dict[str, Any] | None:
    """The pod of the Job that was made for the model hello, once its controller has made it."""
    found = team.kubectl("get", "pods", f"--selector={GROUP}/{label}=hello", "--output=json")
    return next(iter(json.loads(found)["items"]), None)


def end_pod(team: Team, label: str, container: str, words: dict[str, Any]) -> dict[str, Any]:
    """What a kubelet writes: the pod's container ended well with these words. Returns the pod as it was made."""
    team.until(lambda: job_pod(team, label) is not None, f"the pod of the Job of {label}")
    pod = job_pod(team, label)
    assert pod is not None
    ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(words)}
    told = {"name": container, "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    status = {"phase": "Succeeded", "containerStatuses": [{**told, "state": {"terminated": ended}}]}
    patch = json.dumps({"status": status})
    team.kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")
    return pod


def test_other_builds_of_a_model_are_tried_once_it_is_built_and_the_best_is_recommended(team: Team) -> None:
    source = {"uri": "hf://org/model@main", "cache": {"claimName": "cache"}, "build": {}}
    sweep = {"precision": ["int4", "fp32"], "int4BlockSize": [32, 128]}
    team.model("hello", model=source, precision="int4", tuning={"sweep": sweep, "apply": "Automatic"})

    def status(part: str) -> dict[str, Any]:
        return dict(team.get("genaimodel", "hello").get("status", {}).get(part, {}))

    built = {"digest": "d" * 64, "bytes": 5, "files": 1, "cached": False, "builder": "x", "seconds": 1.0, "quality": {}}
    end_pod(team, "build", "build", built)
    pod = end_pod(
        team,
        "tuning",
        "tuning",
        {
            "settings": {"variant": "int4-128-4"},
            "figures": [{"clients": 4, "tokensPerSecond": 12.0, "baselineTokensPerSecond": 10.0, "gainPercent": 20.0}],
            "load": {"clients": [4], "promptTokens": 64, "newTokens": 64},
            "variants": {
                "columns": ["name", "sizeBytes", "perplexity", "increasePercent", "refused", "tokensPerSecond"],
                "rows": [
                    ["int4-32-4", 70, 10.1, 1.0, False, 10.0],
                    ["int4-128-4", 60, 10.4, 4.0, False, 12.0],
                    ["fp32", 400, 10.0, 0.0, False, 3.0],
                ],
            },
        },
    )
    assert [each["name"] for each in pod["spec"]["initContainers"]] == [
        *("fetch", "build-int4-32-4", "build-int4-128-4", "build-fp32"),
    ]
    team.until(lambda: status("recommended").get("state") == "Complete", "a recommendation")
    found = status("recommended")
    assert found["settings"] == {"precision": "int4", "int4BlockSize": 128, "int4AccuracyLevel": 4}
    assert [each.get("int4BlockSize") for each in found["variants"]] == [32, 128, None]
    assert found["applied"] is False  # whatever `apply` says: it would be another model
    job = team.get("job", "hello-tuning")["metadata"]["uid"]
    applied = {**source, "build": {"int4BlockSize": 128}}
    team.model("hello", model=applied, precision="int4", tuning={"sweep": sweep, "apply": "Automatic"})
    team.until(lambda: status("build").get("state") in ("Pending", "Fetching", "Building"), "another build")
    assert status("recommended")["applied"] is False
    team.until(lambda: (team.find("job", "hello-build") or {}).get("status", {}).get("active") == 1, "its Job")
    end_pod(team, "build", "build", {**built, "digest": "e" * 64})
    team.until(lambda: status("recommended")["applied"] is True, "the recommended build")
    assert team.get("job", "hello-tuning")["metadata"]["uid"] == job  # the other builds were measured


def test_the_log_is_json_without_errors(operator: Operator, team: Team) -> None:
    team.model("hello")
    team.until_settled("hello")
    bad = [line for line in operator.log() if line["level"] in ("error", "critical")]
    assert bad == []
