"""A model's tuning Job on a fake API server: made once, its result read and shown, its settings rendered when asked."""

import json
from typing import Any

import pytest

from genai_operator.constants import LABEL_TUNING
from genai_operator.errors import ClusterRejected
from support.model_world import KEY, World

JOB = "hello-tuning"
RESULT = {
    "settings": {"intraOpThreads": 1, "prefillChunk": 128, "maxBatchSize": 4},
    "figures": [{"clients": 4, "tokensPerSecond": 12.0, "baselineTokensPerSecond": 10.0, "gainPercent": 20.0}],
    "load": {"clients": [4], "promptTokens": 64, "newTokens": 64},
}


@pytest.fixture
def world() -> World:
    return World()


def writes(world: World, verb: str) -> int:
    return world.kube.writes.count((verb, "Job", JOB))


def settings(world: World) -> dict[str, Any]:
    """What the pods' template tells the runtime."""
    deployment = world.kube.find("Deployment", "hello")
    assert deployment is not None
    found: dict[str, Any] = json.loads(deployment["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    return found


def job_pod(name: str, job: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The Job's pod with a container in this state."""
    owner = {"kind": "Job", "name": name, "controller": True, "uid": job["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-x",
            "namespace": "team",
            "labels": {LABEL_TUNING: "hello"},
            "ownerReferences": [owner],
        },
        "status": {"containerStatuses": [{"state": state}]},
    }


def end_job(world: World, kind: str, words: str, name: str = JOB) -> None:
    """The Job controller and the kubelet: it ended."""
    job = world.kube.find("Job", name)
    assert job is not None
    world.kube.put(job_pod(name, job, {"terminated": {"exitCode": 0, "message": words}}))
    world.kube.put({**job, "status": {"conditions": [{"type": kind, "status": "True", "message": "it is over"}]}})


async def test_without_tuning_there_is_no_job(world: World) -> None:
    world.put_model()
    await world.settle()
    assert world.kube.find("Job", JOB) is None
    assert "recommended" not in world.status()


async def test_a_job_is_made_once_and_its_result_is_shown(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    assert world.status()["recommended"]["state"] == "Running"
    assert settings(world)["threads"] == "auto"
    end_job(world, "Complete", json.dumps(RESULT))
    await world.settle()
    found = world.status()["recommended"]
    assert (found["state"], found["gainPercent"], found["settings"]) == ("Complete", 20.0, RESULT["settings"])
    assert (found["applied"], found["load"]["clients"]) == (False, 4)
    assert settings(world)["threads"] == "auto"
    assert (writes(world, "create"), writes(world, "delete")) == (1, 0)
    world.kube.remove("Job", "team", JOB)  # its time to live is over
    world.kube.writes.clear()
    await world.settle()
    await world.service.reconcile(KEY)
    assert world.kube.writes == []


async def test_why_its_pod_does_not_start_is_told_while_it_is_so(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    assert 30.0 in world.delays  # it is looked at again, though no event tells of its pods
    job = world.kube.find("Job", JOB)
    assert job is not None
    pod = job_pod(JOB, job, {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    world.kube.put(pod)
    await world.service.reconcile(KEY)
    found = world.status()["recommended"]
    assert (found["state"], "no such image" in found["message"]) == ("Running", True)
    before = world.kube.find("GenAIModel", "hello")
    await world.service.reconcile(KEY)
    assert world.kube.find("GenAIModel", "hello") == before


async def test_which_build_its_pod_makes_is_told_and_which_failed(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    job = world.kube.find("Job", JOB)
    assert job is not None
    pod = job_pod(JOB, job, {"waiting": {"reason": "PodInitializing"}})
    fetched = {"name": "fetch", "state": {"terminated": {"exitCode": 0}}}
    building = {"name": "build-int4-128-4", "state": {"running": {}}}
    pod["status"]["initContainerStatuses"] = [fetched, building]
    world.kube.put(pod)
    await world.service.reconcile(KEY)
    assert world.status()["recommended"]["message"] == "the tuning Job runs: build-int4-128-4"
    words = json.dumps({"reason": "BuildFailed", "message": "the builder ended with 1"})
    building["state"] = {"terminated": {"exitCode": 1, "message": words}}
    world.kube.put(pod)
    failed = [{"type": "Failed", "status": "True", "message": "it is over"}]
    world.kube.put({**job, "status": {"conditions": failed}})
    await world.settle()
    found = world.status()["recommended"]
    said = "the tuning Job failed in its container build-int4-128-4: the builder ended with 1; it is over"
    assert (found["state"], found["message"]) == ("Failed", said)


async def test_another_operator_goes_on_with_the_same_job(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    again = World()
    again.kube = world.kube
    again.kube.watchers[:] = [again._observe]
    for service in (again.service, again.service._tuning, again.service._children, again.service._status):
        service._kube = world.kube  # type: ignore[attr-defined]
    for body in list(world.kube.objects.values()):
        again.kube._tell("ADDED", body)
    await again.settle()
    assert writes(world, "create") == 1


async def test_automatic_renders_the_recommendation_and_leaves_the_spec(world: World) -> None:
    world.put_model(tuning={"apply": "Automatic"})
    await world.settle()
    end_job(world, "Complete", json.dumps(RESULT))
    await world.settle()
    found = settings(world)
    assert (found["threads"], found["prefill_chunk"], found["max_concurrent_requests"]) == (1, 128, 16)
    assert writes(world, "create") == 1  # what is rendered is no reason to measure again
    stored = world.kube.find("GenAIModel", "hello") or {}
    assert stored["spec"] == {"model": {"uri": "builtin://hello"}, "tuning": {"apply": "Automatic"}}
    assert world.status()["recommended"]["applied"] is False  # maxBatchSize is the user's to write
    world.put_model(tuning={"apply": "Automatic"}, engine={"maxBatchSize": 4})
    await world.settle()
    assert world.status()["recommended"]["applied"] is True
    world.put_model(tuning={}, engine={"maxBatchSize": 4})
    await world.settle()
    assert settings(world)["threads"] == "auto"
    assert writes(world, "create") == 1


async def test_another_request_ends_the_job_and_makes_another(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    world.put_model(tuning={"request": "again"})
    await world.settle()
    assert (writes(world, "create"), writes(world, "delete")) == (2, 1)
    end_job(world, "Complete", json.dumps(RESULT))
    await world.settle()
    found = world.status()["recommended"]
    assert (found["state"], found["request"]) == ("Complete", "again")


async def test_a_suspended_model_is_measured_later(world: World) -> None:
    world.put_model(tuning={}, suspend=True)
    await world.settle()
    assert world.status()["recommended"]["state"] == "Pending"
    assert writes(world, "create") == 0
    world.put_model(tuning={})
    await world.settle()
    assert world.status()["recommended"]["state"] == "Running"


async def test_taking_tuning_away_takes_its_job_along(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    world.put_model()
    await world.settle()
    assert world.kube.find("Job", JOB) is None
    assert not world.status().get("recommended")


async def test_a_job_that_fails_says_why_and_is_not_repeated(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    words = {"reason": "InvalidSpec", "message": "a prompt of 64 does not fit; state a shorter load"}
    end_job(world, "Failed", f"loading\n{json.dumps(words)}")
    await world.settle()
    found = world.status()["recommended"]
    assert found["state"] == "Failed"
    assert "state a shorter load" in found["message"]
    assert "it is over" in found["message"]
    world.kube.remove("Job", "team", JOB)
    await world.settle()
    assert writes(world, "create") == 1


async def test_a_foreign_job_of_that_name_is_left_alone(world: World) -> None:
    world.kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": JOB, "namespace": "team"}})
    world.put_model(tuning={})
    await world.settle()
    found = world.status()["recommended"]
    assert (found["state"], "does not belong to this model" in found["message"]) == ("Failed", True)
    assert (writes(world, "create"), writes(world, "delete")) == (0, 0)


async def test_a_paused_model_is_not_measured_and_keeps_what_it_has(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    end_job(world, "Complete", json.dumps(RESULT))
    await world.settle()
    before = world.status()["recommended"]
    world.put_model(annotations={"pause-reconciliation": "true"}, tuning={"request": "again"})
    await world.settle()
    assert world.status()["recommended"] == before
    assert writes(world, "create") == 1


async def test_an_invalid_edit_does_not_lose_the_recommendation(world: World) -> None:
    world.put_model(tuning={})
    await world.settle()
    end_job(world, "Complete", json.dumps(RESULT))
    await world.settle()
    before = world.status()["recommended"]
    world.put_model(tuning={}, replicas=-1)
    await world.settle()
    assert world.status()["recommended"] == before


async def test_a_refused_job_is_tried_again(world: World) -> None:
    world.put_model(tuning={})
    world.kube.failures["create", "Job"] = ClusterRejected("exceeded quota: jobs")
    await world.settle()
    found = world.status()["recommended"]
    assert (found["state"], "tried again" in found["message"]) == ("Pending", True)
    del world.kube.failures["create", "Job"]
    world.woken.add(KEY)
    await world.settle()
    assert world.status()["recommended"]["state"] == "Running"
