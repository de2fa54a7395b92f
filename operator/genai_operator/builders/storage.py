"""Volumes of a model pod, and where the model's folder is in it."""

from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_uri import ClaimModel, parse_model_uri
from genai_operator.api.names import control_tls_secret_name
from genai_operator.constants import (
    PATH_API_KEYS,
    PATH_BUILTIN_MODELS,
    PATH_CLIENT_CA,
    PATH_CONTROL_TLS,
    PATH_MODELS,
    PATH_PROFILES,
    PATH_RUN,
    PATH_TLS,
)

# More than one window may lie there; a window has at most 512Mi of raw profile, and its merged trace beside it.
PROFILES_SIZE_LIMIT = "2Gi"
RUN_SIZE_LIMIT = "16Mi"
TMP_SIZE_LIMIT = "256Mi"
SECRET_MODE = 0o440


@dataclass(frozen=True, slots=True)
class _Credentials:
    """A Secret: a whole folder is mounted, which the kubelet swaps when the Secret changes.

    One that a user makes is optional to the kubelet: it would wait for it without a word in the pod's status, where the
    server ends at once and says what is missing. Without keys or certificate it never serves.
    """

    volume: str
    secret: str
    path: str
    files: tuple[str, ...] = ()  # none named: all
    optional: bool = True

    def mount(self) -> dict[str, Any]:
        return {"name": self.volume, "mountPath": self.path, "readOnly": True}

    def source(self) -> dict[str, Any]:
        source: dict[str, Any] = {"secretName": self.secret, "defaultMode": SECRET_MODE}
        if self.files:
            source["items"] = [{"key": name, "path": name} for name in self.files]
        if self.optional:
            source["optional"] = True
        return {"name": self.volume, "secret": source}


def model_location(model: GenAIModel) -> str:
    """What `genai-runtime serve` is told: a folder in the pod, or a model of the image by its URI."""
    source = parse_model_uri(model.spec.model.uri)
    return f"{PATH_MODELS}/{source.path}" if isinstance(source, ClaimModel) else model.spec.model.uri


def adapter_locations(model: GenAIModel) -> dict[str, str]:
    """Where the model's LoRA adapters are in the pod, by name."""
    source = parse_model_uri(model.spec.model.uri)
    if isinstance(source, ClaimModel):
        folder = f"{PATH_MODELS}/{source.path}"
    else:
        folder = f"{PATH_BUILTIN_MODELS}/{source.name}"
    return {adapter.name: f"{folder}/{adapter.path}" for adapter in model.spec.adapters}


def volumes(model: GenAIModel) -> list[dict[str, Any]]:
    """The pod's volumes."""
    found: list[dict[str, Any]] = [
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": RUN_SIZE_LIMIT}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
        {"name": "profiles", "emptyDir": {"sizeLimit": PROFILES_SIZE_LIMIT}},
        *(each.source() for each in _credentials(model)),
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
        *(each.mount() for each in _credentials(model)),
    ]
    if isinstance(parse_model_uri(model.spec.model.uri), ClaimModel):
        mounts.append({"name": "models", "mountPath": PATH_MODELS, "readOnly": True})
    return mounts


def _credentials(model: GenAIModel) -> list[_Credentials]:
    server = model.spec.server
    found = [
        _Credentials("control-tls", control_tls_secret_name(model.metadata.name), PATH_CONTROL_TLS, optional=False)
    ]
    if server.tls is not None:
        found.append(_Credentials("tls", server.tls.secret_name, PATH_TLS, ("tls.crt", "tls.key")))
        if server.tls.client_ca_secret_name is not None:
            found.append(_Credentials("client-ca", server.tls.client_ca_secret_name, PATH_CLIENT_CA, ("ca.crt",)))
    if server.api_keys is not None:
        found.append(_Credentials("api-keys", server.api_keys.secret_name, PATH_API_KEYS))
    return found
