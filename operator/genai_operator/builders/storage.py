"""Volumes of a model pod. Where the model's folder is, and what it lies on, is `model_folder.py`'s."""

from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import control_tls_secret_name
from genai_operator.builders.adapters import adapter_mounts, adapter_secrets, adapter_volumes
from genai_operator.builders.model_folder import is_fetched, model_mounts, model_volumes
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import (
    PATH_ADAPTER_CREDENTIALS,
    PATH_API_KEYS,
    PATH_CLIENT_CA,
    PATH_CONTROL_TLS,
    PATH_MODEL_CREDENTIALS,
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
class Credentials:
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


def volumes(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, Any]]:
    """The pod's volumes."""
    credentials = [*_credentials(model), *model_credentials(model, settings)]
    return [
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": RUN_SIZE_LIMIT}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
        {"name": "profiles", "emptyDir": {"sizeLimit": PROFILES_SIZE_LIMIT}},
        *(each.source() for each in credentials),
        *adapter_volumes(model),
        *model_volumes(model, settings),
    ]


def volume_mounts(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, Any]]:
    """Where the model's container sees them."""
    return [
        {"name": "run", "mountPath": PATH_RUN},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "profiles", "mountPath": PATH_PROFILES},
        *(each.mount() for each in _credentials(model)),
        *adapter_mounts(model),
        *model_mounts(model, settings),
    ]


def init_volume_mounts(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, Any]]:
    """Where the init container sees them: what it needs for fetching, or for looking at the model."""
    if not is_fetched(model, settings):
        return [{"name": "tmp", "mountPath": "/tmp"}, *model_mounts(model, settings)]
    return [
        {"name": "tmp", "mountPath": "/tmp"},
        control_certificate(model).mount(),
        *(each.mount() for each in model_credentials(model, settings)),
        *model_mounts(model, settings, fetching=True),
    ]


def control_certificate(model: GenAIModel) -> Credentials:
    """What a container shows to the operator that asks it how far it is."""
    return Credentials("control-tls", control_tls_secret_name(model.metadata.name), PATH_CONTROL_TLS, optional=False)


def model_credentials(model: GenAIModel, settings: BuilderSettings) -> list[Credentials]:
    """Of the model's source; the container that serves does not get them."""
    secret = model.spec.model.secret_name
    if secret is None or not is_fetched(model, settings):
        return []
    return [Credentials("model-credentials", secret, PATH_MODEL_CREDENTIALS)]


def _credentials(model: GenAIModel) -> list[Credentials]:
    server = model.spec.server
    found = [control_certificate(model)]
    if server.tls is not None:
        found.append(Credentials("tls", server.tls.secret_name, PATH_TLS, ("tls.crt", "tls.key")))
        if server.tls.client_ca_secret_name is not None:
            found.append(Credentials("client-ca", server.tls.client_ca_secret_name, PATH_CLIENT_CA, ("ca.crt",)))
    if server.api_keys is not None:
        found.append(Credentials("api-keys", server.api_keys.secret_name, PATH_API_KEYS))
    for number, secret in enumerate(adapter_secrets(model)):
        path = f"{PATH_ADAPTER_CREDENTIALS}/{secret}"
        found.append(Credentials(f"adapter-credentials-{number}", secret, path))
    return found
