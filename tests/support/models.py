"""GenAIModels and what is observed of them, for tests of the pure layers."""

from dataclasses import replace
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import desired_options
from genai_operator.status.observed import (
    ObservedDeployment,
    ObservedModel,
    ObservedPod,
    PodAnswer,
    PodOptionsState,
    ServedModel,
)

NOW = "2026-03-01T10:00:00Z"
LATER = "2026-03-01T10:05:00Z"
SERVED = ServedModel("batch", "a graph it knows", "cpu", 2, 2048, 55.55, 0.0321, 16, 64, 32768, True)


def make_model(
    annotations: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> GenAIModel:
    """A model `hello` in namespace `demo`; `spec` adds to the smallest spec. Annotations without our prefix."""
    metadata = {
        "name": "hello",
        "namespace": "demo",
        "uid": "0000-1",
        "generation": 3,
        "annotations": {f"genai-operator.io/{key}": value for key, value in (annotations or {}).items()},
    }
    body = {"metadata": metadata, "spec": {"model": {"uri": "builtin://hello"}, **spec}, "status": status or {}}
    return GenAIModel.from_body(body)


def ready_pod(number: int = 1, **changes: Any) -> ObservedPod:
    """A pod that serves."""
    pod = ObservedPod(
        name=f"hello-{number}",
        uid=f"uid-{number}",
        ip=f"10.0.0.{number}",
        phase="Running",
        ready=True,
        created=f"2026-03-01T09:00:0{number % 10}Z",
        container_id=f"containerd://{number}",
        running=True,
    )
    return replace(pod, **changes)


def starting_pod(number: int = 1, **changes: Any) -> ObservedPod:
    """A pod that does not serve; `changes` say why."""
    return ready_pod(number, **{"ready": False, "running": False, **changes})


def observe(*pods: ObservedPod, **changes: Any) -> ObservedModel:
    """What is seen of a model with these pods and a Deployment that asked for them."""
    ready = sum(pod.ready for pod in pods)
    deployment = ObservedDeployment(
        generation=1,
        observed_generation=1,
        replicas=len(pods),
        ready_replicas=ready,
        updated_replicas=len(pods),
        available_replicas=ready,
        image="runtime:1",
    )
    return replace(ObservedModel(deployment=deployment, pods=pods, now=NOW), **changes)


def answers(
    model: GenAIModel, *pods: ObservedPod, state: PodOptionsState = PodOptionsState.APPLIED, **changes: Any
) -> dict[str, PodAnswer]:
    """What these pods answered about the options that the model now asks for."""
    revision = desired_options(model).revision
    answer = PodAnswer("", revision, state, at=NOW, served=SERVED)
    return {pod.uid: replace(answer, container_id=pod.container_id, **changes) for pod in pods}


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """(status, reason) of each condition, by type."""
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def message(status: dict[str, Any], kind: str) -> str:
    """What a condition says."""
    return next(str(each["message"]) for each in status["conditions"] if each["type"] == kind)
