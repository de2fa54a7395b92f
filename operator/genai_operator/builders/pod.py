"""The pod template of a model: one container, admitted where Pod Security is `restricted`. No live options in it."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import service_account_name
from genai_operator.builders.environment import environment
from genai_operator.builders.fetch import init_containers
from genai_operator.builders.metadata import labels
from genai_operator.builders.model_folder import image_volume_secrets, model_location
from genai_operator.builders.overlay import overlaid
from genai_operator.builders.restricted import container_security, image_pull_secrets, pod_security
from genai_operator.builders.runtime_image import runtime_image
from genai_operator.builders.scheduling import scheduling
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.storage import volume_mounts, volumes
from genai_operator.constants import CONDITION_MEASURED, PORT_CONTROL, PORT_GRPC, PORT_HEALTH, PORT_HTTP, PORT_METRICS

CONTAINER = "model"

# Endpoints are removed in the same moment as the pod is told to stop; clients learn of it a little later.
PRE_STOP_SECONDS = 3
GRACE_MARGIN_SECONDS = 10

# The health service of readiness; the empty one is liveness (docs/architecture.md).
READINESS_SERVICE = "genai.v1.GenAIService"


def pod_template(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    """The Deployment's `template`."""
    name, spec = model.metadata.name, model.spec
    pod: dict[str, Any] = {
        "serviceAccountName": spec.service_account_name or service_account_name(name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + spec.server.drain_seconds + GRACE_MARGIN_SECONDS,
        "securityContext": pod_security(),
        "containers": [_container(model, settings)],
        "volumes": volumes(model, settings),
    }
    initial = init_containers(model, settings, _image(model, settings))
    if initial:
        pod["initContainers"] = initial
    if spec.rollout.gate is not None:
        pod["readinessGates"] = [{"conditionType": CONDITION_MEASURED}]
    secrets = _pull_secrets(model, settings)
    if secrets:
        pod["imagePullSecrets"] = secrets
    pod.update(scheduling(model))
    template = {"metadata": _metadata(model), "spec": pod}
    return overlaid(template, spec.pod_template) if spec.pod_template else template


def _metadata(model: GenAIModel) -> dict[str, Any]:
    spec = model.spec
    metadata: dict[str, Any] = {"labels": {**spec.pod_labels, **labels(model)}}
    if spec.pod_annotations:
        metadata["annotations"] = dict(spec.pod_annotations)
    return metadata


def _image(model: GenAIModel, settings: BuilderSettings) -> dict[str, str]:
    return {
        "image": runtime_image(model, settings),
        "imagePullPolicy": model.spec.image_pull_policy or settings.image_pull_policy,
    }


def container_ports(model: GenAIModel) -> dict[str, int]:
    """The ports a pod listens on, by name."""
    server = model.spec.server
    ports = {"grpc": PORT_GRPC, "http": PORT_HTTP, "metrics": PORT_METRICS, "control": PORT_CONTROL}
    if not server.protocols.http:
        del ports["http"]
    return ports if server.tls is None else {**ports, "health": PORT_HEALTH}


def _pull_secrets(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, str]]:
    secrets = image_pull_secrets(model, settings)
    return [*secrets, *(each for each in image_volume_secrets(model, settings) if each not in secrets)]


def _container(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    spec = model.spec
    return {
        "name": CONTAINER,
        **_image(model, settings),
        "args": ["serve", model_location(model)],
        "env": environment(model, settings),
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in container_ports(model).items()
        ],
        "resources": {
            name: dict(sorted(amounts.items()))
            for name, amounts in (("requests", spec.resources.requests), ("limits", spec.resources.limits))
            if amounts
        },
        **_probes(PORT_HEALTH if spec.server.tls is not None else PORT_GRPC),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": volume_mounts(model, settings),
    }


def _probes(port: int) -> dict[str, Any]:
    alive = {"port": port, "service": ""}
    return {
        # The front binds its port in a second; two minutes are for a node that is busy. Loading is readiness's matter.
        "startupProbe": {"grpc": alive, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 120},
        "livenessProbe": {"grpc": alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": {
            "grpc": {"port": port, "service": READINESS_SERVICE},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
            "failureThreshold": 3,
        },
    }
