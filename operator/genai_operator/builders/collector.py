"""The Job that collects a profile's traces from the pods into a claim or a bucket: `genai-runtime collect`.

It is made once, when the windows have ended. Its certificate's Secret is `services.certificates`'s to fill.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.names import collector_name, collector_tls_secret_name
from genai_operator.builders.restricted import container_security, image_pull_secrets, pod_security
from genai_operator.builders.runtime_image import plain_image
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.storage import SECRET_MODE
from genai_operator.constants import (
    API_VERSION,
    LABEL_PROFILE,
    MANAGED_BY,
    PATH_COLLECTOR_OUTPUT,
    PATH_COLLECTOR_TLS,
    PROFILE_KIND,
)

CONTAINER = "collector"
# Retries are for pods and stores that are away for a moment; a full bucket stays full.
_RETRIES = 2
_MOST_SECONDS = 900
# The result is in the profile by then.
_KEPT_SECONDS = 3600
_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
_TMP_SIZE_LIMIT = "2Gi"
_S3_KEYS = (("AWS_ACCESS_KEY_ID", False), ("AWS_SECRET_ACCESS_KEY", False), ("AWS_SESSION_TOKEN", True))


@dataclass(frozen=True, slots=True)
class TraceSource:
    """A trace in a pod. `address` is host:port of its control service."""

    pod: str
    address: str
    profile_id: str


def collector_job(
    profile: GenAIProfile,
    model: GenAIModel,
    sources: Sequence[TraceSource],
    server_name: str,
    settings: BuilderSettings,
) -> dict[str, Any]:
    """The Job. `server_name` is in the certificates of the model's pods; `sources` are at most a profile's pods."""
    labels = _labels(profile)
    template = {"metadata": {"labels": labels}, "spec": _pod(profile, model, sources, server_name, settings)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(profile, collector_name(profile.metadata.name)),
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": _MOST_SECONDS,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": template,
        },
    }


def collector_secret(profile: GenAIProfile, data: dict[str, str]) -> dict[str, Any]:
    """The Secret with the certificate that the collector shows to pods; `data` as a Secret has it."""
    metadata = _metadata(profile, collector_tls_secret_name(profile.metadata.name))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}


def _labels(profile: GenAIProfile) -> dict[str, str]:
    return {
        LABEL_PROFILE: profile.metadata.name,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/name": "genai-collector",
        "app.kubernetes.io/instance": profile.metadata.name,
        "app.kubernetes.io/part-of": "genai-operator",
    }


def _metadata(profile: GenAIProfile, name: str) -> dict[str, Any]:
    owner = {
        "apiVersion": API_VERSION,
        "kind": PROFILE_KIND,
        "name": profile.metadata.name,
        "uid": profile.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    namespace = profile.metadata.namespace
    return {"name": name, "namespace": namespace, "labels": _labels(profile), "ownerReferences": [owner]}


def _pod(
    profile: GenAIProfile,
    model: GenAIModel,
    sources: Sequence[TraceSource],
    server_name: str,
    settings: BuilderSettings,
) -> dict[str, Any]:
    secrets = image_pull_secrets(model, settings)
    pulls = {"imagePullSecrets": secrets} if secrets else {}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [
            {
                "name": CONTAINER,
                "image": plain_image(model, settings),
                "imagePullPolicy": model.spec.image_pull_policy or settings.image_pull_policy,
                "args": _arguments(profile, sources, server_name),
                "env": _environment(profile),
                "resources": _RESOURCES,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": container_security(),
                "volumeMounts": _mounts(profile),
            }
        ],
        "volumes": _volumes(profile),
        **pulls,
    }


def _arguments(profile: GenAIProfile, sources: Sequence[TraceSource], server_name: str) -> list[str]:
    name, output = profile.metadata.name, profile.spec.output
    arguments = ["collect", "--profile", name, "--tls-dir", PATH_COLLECTOR_TLS, "--server-name", server_name]
    if output.s3 is not None:
        arguments += ["--output", output.s3.uri]
        arguments += ["--endpoint", output.s3.endpoint] if output.s3.endpoint else []
        arguments += ["--region", output.s3.region] if output.s3.region else []
    elif output.persistent_volume_claim is not None:
        arguments += ["--output", f"file://{PATH_COLLECTOR_OUTPUT}/{output.persistent_volume_claim.path or name}"]
    for source in sources:
        arguments += ["--pod", f"{source.pod}={source.address}={source.profile_id}"]
    return arguments


def _environment(profile: GenAIProfile) -> list[dict[str, Any]]:
    """A bucket's credentials; without a Secret there are none, and none are looked for on the node."""
    s3 = profile.spec.output.s3
    if s3 is None or s3.secret_name is None:
        return []
    return [
        {
            "name": key,
            "valueFrom": {"secretKeyRef": {"name": s3.secret_name, "key": key} | ({"optional": True} if may else {})},
        }
        for key, may in _S3_KEYS
    ]


def _volumes(profile: GenAIProfile) -> list[dict[str, Any]]:
    secret = {"secretName": collector_tls_secret_name(profile.metadata.name), "defaultMode": SECRET_MODE}
    found: list[dict[str, Any]] = [
        {"name": "collector-tls", "secret": secret},
        {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE_LIMIT}},
    ]
    claim = profile.spec.output.persistent_volume_claim
    if claim is not None:
        found.append({"name": "output", "persistentVolumeClaim": {"claimName": claim.claim_name}})
    return found


def _mounts(profile: GenAIProfile) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "collector-tls", "mountPath": PATH_COLLECTOR_TLS, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if profile.spec.output.persistent_volume_claim is not None:
        found.append({"name": "output", "mountPath": PATH_COLLECTOR_OUTPUT})
    return found
