"""A model's build Job on a fake API server: made once, followed, its result rendered, its failure told."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_operator.clients.fetch import FetchReply
from genai_operator.constants import LABEL_BUILD
from genai_operator.errors import ClusterRejected
from support.model_world import KEY, World

JOB = "hello-build"
DIGEST, OTHER = "ab" * 32, "cd" * 32
SOURCE = {"uri": "hf://org/repo", "cache": {"claimName": "models"}, "build": {}}
RESULT = {"digest": DIGEST, "bytes": 10, "files": 6, "cached": False, "builder": "b 1", "seconds": 1.0}
Object = dict[str, Any]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.builds.close()


def put_model(world: World, *, build: Object | None = None, **spec: Any) -> None:
    world.put_model(**{"model": {**SOURCE, "build": build or {}}, "precision": "int4", **spec})


def writes(world: World, verb: str) -> int:
    return world.kube.writes.count((verb, "Job", JOB))


def put_pod(world: World, *, initial: Object | None = None, state: Object | None = None) -> None:
    """The Job's pod, with its containers in these states."""
    job = world.kube.find("Job", JOB)
    assert job is not None
    owner = {"kind": "Job", "name": JOB, "controller": True, "uid": job["metadata"]["uid"]}
    waiting = {"waiting": {"reason": "PodInitializing"}}
    metadata = {"name": f"{JOB}-x", "namespace": "team", "labels": {LABEL_BUILD: "hello"}, "ownerReferences": [owner]}
    initials = [{"name": "fetch", "containerID": "f1", "state": initial or {"terminated": {"exitCode": 0}}}]
    container = {"name": "build", "containerID": "b1", "state": state or waiting}
    status = {"podIP": "10.0.0.9", "initContainerStatuses": initials, "containerStatuses": [container]}
    world.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})


async def end_job(world: World, kind: str, words: str) -> None:
    """The Job controller and the kubelet: it ended."""
    put_pod(world, state={"terminated": {"exitCode": 0 if kind == "Complete" else 1, "message": words}})
    job = world.kube.find("Job", JOB)
    assert job is not None
    world.kube.put({**job, "status": {"conditions": [{"type": kind, "status": "True", "message": "it is over"}]}})
    await world.settle()


def fetched(world: World) -> str:
    """Which digest the pods of the Deployment take out of the cache."""
    deployment = world.kube.find("Deployment", "hello")
    assert deployment is not None
    (container,) = deployment["spec"]["template"]["spec"]["initContainers"]
    return str(container["args"][container["args"].index("--sha256") + 1])


async def test_a_job_is_made_once_and_what_it_built_is_served(world: World) -> None:
    put_model(world)
    await world.settle()
    assert world.status()["build"]["state"] == "Pending"
    assert world.kube.find("Deployment", "hello") is None
    assert world.condition("Ready")[:2] == ("False", "Building")
    assert world.condition("ModelBuilt")[:2] == ("False", "Building")
    await end_job(world, "Complete", json.dumps(RESULT))
    assert world.status()["build"]["state"] == "Complete"
    assert world.condition("ModelBuilt")[:2] == ("True", "Built")
    assert fetched(world) == DIGEST
    world.kube.remove("Job", "team", JOB)  # its time to live is over
    await world.settle()
    world.kube.writes.clear()
    await world.service.reconcile(KEY)
    assert world.kube.writes == []


async def test_its_pod_is_asked_how_far_it_is_while_it_fetches_and_while_it_builds(world: World) -> None:
    put_model(world)
    await world.settle()
    world.pods.fetched["10.0.0.9"] = [FetchReply("Fetching", 1, 4, 0.0)]
    put_pod(world, initial={"running": {}})
    await world.service.reconcile(KEY)
    await world.settle()
    found = world.status()["build"]
    assert (found["state"], found["step"], found["percent"]) == ("Fetching", "Fetching", 25)
    world.pods.fetched["10.0.0.9"] = [FetchReply("Measuring", 0, 0, 0.0, 60)]
    put_pod(world, state={"running": {}})
    await world.service.reconcile(KEY)
    await world.settle()
    found = world.status()["build"]
    assert (found["state"], found["step"], found["percent"]) == ("Building", "Measuring", 60)
    assert found["pod"] == f"{JOB}-x"
    assert f"pod {JOB}-x builds" in world.condition("Ready")[2]


async def test_why_its_pod_does_not_start_is_told_while_it_is_so(world: World) -> None:
    put_model(world)
    await world.settle()
    put_pod(world, initial={"waiting": {"reason": "ErrImagePull", "message": "no such image"}})
    await world.service.reconcile(KEY)
    status, reason, message = world.condition("Ready")
    assert (status, reason) == ("False", "ImagePullBackOff")
    assert "no such image" in message
    assert world.condition("ModelBuilt")[1] == "ImagePullBackOff"


async def test_a_failed_build_says_why_and_is_not_repeated_until_it_is_asked_for(world: World) -> None:
    put_model(world)
    await world.settle()
    await end_job(world, "Failed", 'loading\n{"reason": "BuildFailed", "message": "no such architecture"}')
    assert world.status()["build"]["state"] == "Failed"
    for kind, status in (("ModelBuilt", "False"), ("Ready", "False"), ("Progressing", "False"), ("Degraded", "True")):
        found = world.condition(kind)
        assert found[:2] == (status, "BuildFailed"), kind
        assert "no such architecture; see kubectl logs -n team hello-build-x -c build" in found[2]
    world.kube.remove("Job", "team", JOB)
    await world.settle()
    assert writes(world, "create") == 1
    put_model(world, build={"request": "again"})
    await world.settle()
    assert writes(world, "create") == 2


async def test_another_precision_keeps_the_pods_until_it_is_built(world: World) -> None:
    put_model(world)
    await world.settle()
    await end_job(world, "Complete", json.dumps(RESULT))
    before = world.kube.find("Deployment", "hello") or {}
    put_model(world, precision="int8")
    await world.settle()
    after = world.kube.find("Deployment", "hello") or {}
    assert after["spec"] == before["spec"]
    assert world.condition("Progressing")[:2] == ("True", "Building")
    assert (writes(world, "create"), writes(world, "delete")) == (2, 1)
    await end_job(world, "Failed", "no room")
    assert fetched(world) == DIGEST
    assert world.condition("Degraded")[:2] == ("True", "BuildFailed")
    put_model(world, precision="int8", build={"request": "again"})
    await world.settle()
    await end_job(world, "Complete", json.dumps({**RESULT, "digest": OTHER}))
    assert fetched(world) == OTHER
    assert world.condition("Degraded")[:2] == ("False", "Healthy")


async def test_going_back_while_another_one_is_built_ends_that_job(world: World) -> None:
    put_model(world)
    await world.settle()
    await end_job(world, "Complete", json.dumps(RESULT))
    put_model(world, precision="int8")
    await world.settle()
    put_model(world)
    await world.settle()
    assert world.kube.find("Job", JOB) is None
    found = world.status()["build"]
    assert (found["state"], found["digest"]) == ("Complete", DIGEST)
    assert world.condition("ModelBuilt")[:2] == ("True", "Built")
    assert writes(world, "create") == 2


async def test_what_was_served_before_is_left_alone_until_the_first_build_is_there(world: World) -> None:
    world.put_model(model={"uri": "hf://org/built-elsewhere"})
    await world.settle()
    before = world.kube.find("Deployment", "hello") or {}
    put_model(world)
    await world.settle()
    assert world.kube.find("Deployment", "hello") == before
    await end_job(world, "Complete", json.dumps(RESULT))
    assert fetched(world) == DIGEST
    put_model(world, build={"int4BlockSize": 16}, suspend=True)
    await world.settle()
    deployment = world.kube.find("Deployment", "hello") or {}
    assert deployment["spec"]["replicas"] == 0


async def test_a_suspended_model_is_built_later_and_has_no_pods(world: World) -> None:
    world.put_model(model={"uri": "hf://org/built-elsewhere"})
    await world.settle()
    put_model(world, suspend=True)
    await world.settle()
    assert world.condition("ModelBuilt")[:2] == ("False", "Suspended")
    assert world.condition("Progressing")[:2] == ("False", "Complete")
    assert writes(world, "create") == 0
    assert world.kube.find("Deployment", "hello") is None
    put_model(world)
    await world.settle()
    assert writes(world, "create") == 1
    put_model(world, suspend=True)
    await world.settle()
    assert world.kube.find("Job", JOB) is None


async def test_another_operator_goes_on_with_the_same_job(world: World) -> None:
    put_model(world)
    await world.settle()
    again = World()
    again.kube = world.kube
    again.kube.watchers[:] = [again._observe]
    for service in (again.service, again.service._building, again.service._children, again.service._status):
        service._kube = world.kube  # type: ignore[attr-defined]
    for body in list(world.kube.objects.values()):
        again.kube._tell("ADDED", body)
    await again.settle()
    assert writes(world, "create") == 1
    await end_job(again, "Complete", json.dumps(RESULT))
    assert fetched(again) == DIGEST


async def test_taking_build_away_takes_its_job_and_its_condition_along(world: World) -> None:
    put_model(world)
    await world.settle()
    world.put_model(model={"uri": "hf://org/repo"})
    await world.settle()
    assert world.kube.find("Job", JOB) is None
    status = world.status()
    assert not status.get("build")
    assert "ModelBuilt" not in [each["type"] for each in status["conditions"]]


async def test_a_foreign_job_of_that_name_is_left_alone(world: World) -> None:
    world.kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": JOB, "namespace": "team"}})
    put_model(world)
    await world.settle()
    assert world.condition("ModelBuilt")[:2] == ("False", "NameConflict")
    assert (writes(world, "create"), writes(world, "delete")) == (0, 0)


async def test_an_installation_without_a_builder_says_so(world: World) -> None:
    settings = world.service._building._settings.model_copy(update={"builder_image": ""})  # type: ignore[attr-defined]
    world.service._building._settings = settings
    put_model(world)
    await world.settle()
    status, reason, message = world.condition("Ready")
    assert (status, reason) == ("False", "BuilderUnavailable")
    assert "builder.image.repository" in message
    assert writes(world, "create") == 0


async def test_a_paused_model_and_an_invalid_edit_keep_what_was_built(world: World) -> None:
    put_model(world)
    await world.settle()
    await end_job(world, "Complete", json.dumps(RESULT))
    before = world.status()["build"]
    put_model(world, precision="int8", annotations={"pause-reconciliation": "true"})
    await world.settle()
    assert world.status()["build"] == before
    put_model(world, replicas=-1)
    await world.settle()
    assert world.status()["build"] == before
    assert writes(world, "create") == 1


async def test_tuning_waits_for_the_build(world: World) -> None:
    put_model(world, tuning={})
    await world.settle()
    assert world.kube.find("Job", "hello-tuning") is None
    await end_job(world, "Complete", json.dumps(RESULT))
    job = world.kube.find("Job", "hello-tuning")
    assert job is not None
    (fetch,) = job["spec"]["template"]["spec"]["initContainers"]
    assert DIGEST in fetch["args"]


async def test_a_refused_job_is_tried_again(world: World) -> None:
    put_model(world)
    world.kube.failures["create", "Job"] = ClusterRejected('admission webhook "policy" denied the request: no')
    await world.settle()
    assert world.condition("ModelBuilt")[:2] == ("False", "AdmissionDenied")
    assert "tried again" in world.status()["build"]["message"]
    del world.kube.failures["create", "Job"]
    world.woken.add(KEY)
    await world.settle()
    assert world.kube.find("Job", JOB) is not None
    assert world.condition("ModelBuilt")[:2] == ("False", "Building")
