"""Volumes of a model pod, and where the model's folder is in it."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_uri import ClaimModel, parse_model_uri
from genai_operator.api.names import control_tls_secret_name
from genai_operator.constants import PATH_CONTROL_TLS, PATH_MODELS, PATH_PROFILES, PATH_RUN

# More than one window may lie there; a window has at most 512Mi of raw profile, and its merged trace beside it.
PROFILES_SIZE_LIMIT = "2Gi"
RUN_SIZE_LIMIT = "16Mi"
TMP_SIZE_LIMIT = "256Mi"


def model_location(model: GenAIModel) -> str:
    """What `genai-runtime serve` is told: a folder in the pod, or a model of the image by its URI."""
    source = parse_model_uri(model.spec.model.uri)
    return f"{PATH_MODELS}/{source.path}" if isinstance(source, ClaimModel) else model.spec.model.uri


def volumes(model: GenAIModel) -> list[dict[str, Any]]:
    """The pod's volumes."""
    found: list[dict[str, Any]] = [
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": RUN_SIZE_LIMIT}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
        {"name": "profiles", "emptyDir": {"sizeLimit": PROFILES_SIZE_LIMIT}},
        {
            "name": "control-tls",
            "secret": {"secretName": control_tls_secret_name(model.metadata.name), "defaultMode": 0o440},
        },
    ]
    source = parse_model_uri(model.spec.model.uri)
    if isinstance(source, ClaimModel):
        claim = {"claimName": source.claim, "readOnly": True}
        found.append({"name": "models", "persistentVolumeClaim": claim})
    return found


def volume_mounts(model: GenAIModel) -> list[dict[str, Any]]:
    """Where the container sees them."""
    mounts: list[dict[str, Any]] = [
        {"name": "run", "mountPath": PATH_RUN},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "profiles", "mountPath": PATH_PROFILES},
        {"name": "control-tls", "mountPath": PATH_CONTROL_TLS, "readOnly": True},
    ]
    if isinstance(parse_model_uri(model.spec.model.uri), ClaimModel):
        mounts.append({"name": "models", "mountPath": PATH_MODELS, "readOnly": True})
    return mounts
