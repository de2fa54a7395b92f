"""A trace that was collected outside the pods: where it is, how it is read when the pods are gone. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from genai_kubectl.errors import CommandFailed
from genai_kubectl.names import CONTAINER

Object = Mapping[str, Any]
_MOUNT = "/var/lib/genai/collected"
_USER = 65532  # who wrote the trace, as all pods of the operator run
_SECONDS = 900
_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}


@dataclass(frozen=True, slots=True)
class Collected:
    """A trace in a claim; `path` is inside it."""

    claim: str
    path: PurePosixPath

    @property
    def file(self) -> str:
        """Where the reader has it."""
        return f"{_MOUNT}/{self.path}"


def is_collected(profile: Object) -> bool:
    """Whether the trace lies in a claim or a bucket."""
    return bool(_artifact(profile)) and _artifact(profile)["type"] != "Pod"


def collected(profile: Object, file: str) -> Collected:
    """Where in a claim the trace lies.

    Raises:
        CommandFailed: it lies in a bucket, whose credentials are not this program's; the message has the command.
    """
    name, artifact = profile["metadata"]["name"], _artifact(profile)
    location = str(artifact["location"])
    if artifact["type"] == "S3":
        s3 = (profile["spec"].get("output") or {}).get("s3") or {}
        options = [part for key in ("endpoint", "region") if s3.get(key) for part in (_S3_OPTIONS[key], s3[key])]
        command = shlex.join(["aws", "s3", "cp", location, file, *options])
        raise CommandFailed(f"the pods of {name!r} are gone; its trace is in a bucket: {command}")
    claim, _, path = location.removeprefix("pvc://").partition("/")
    found = PurePosixPath(path)
    if not claim or not path or found.is_absolute() or ".." in found.parts:
        raise CommandFailed(f"{name!r} says that its trace is at {location}, which is no file in a claim")
    return Collected(claim, found)


_S3_OPTIONS = {"endpoint": "--endpoint-url", "region": "--region"}


def reader_pod(profile: Object, claim: str, image: str) -> dict[str, Any]:
    """A pod that holds the claim for reading until it is deleted, or for a quarter of an hour."""
    name = str(profile["metadata"]["name"])
    container = {
        "name": CONTAINER,
        "image": image,
        "command": ["sleep", str(_SECONDS)],
        "resources": _RESOURCES,
        "volumeMounts": [{"name": "collected", "mountPath": _MOUNT, "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name[:40]}-reader-",
            "labels": {"app.kubernetes.io/name": "genai-reader", "app.kubernetes.io/managed-by": "kubectl-genai"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "collected", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
            ],
        },
    }


def waits_for(pod: Object) -> str | None:
    """What a reader pod is not running for; None when it runs.

    Raises:
        CommandFailed: it will never run.
    """
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        raise CommandFailed(f"pod {pod['metadata']['name']}, which was to read the claim, ended: {status}")
    if status.get("phase") == "Running":
        return None
    waiting = [(each.get("state") or {}).get("waiting") or {} for each in status.get("containerStatuses") or ()]
    conditions = [each for each in status.get("conditions") or () if each.get("status") == "False"]
    said = [f"{each.get('reason', '')}: {each.get('message', '')}".strip(": ") for each in [*waiting, *conditions]]
    return next((each for each in said if each), "it starts")


def image_of(pods: list[Any]) -> str | None:
    """Of the model's container, in any of its pods."""
    containers = [each for pod in pods for each in pod["spec"]["containers"] if each["name"] == CONTAINER]
    return str(containers[0]["image"]) if containers else None


def _artifact(profile: Object) -> Object:
    found: Object = (profile.get("status") or {}).get("artifact") or {}
    return found
