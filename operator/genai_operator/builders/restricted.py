"""What every pod that we make has, so that it is admitted where Pod Security is `restricted`."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.settings import BuilderSettings

_USER = 65532


def pod_security() -> dict[str, Any]:
    """The pod's `securityContext`. The group owns its volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """A container's `securityContext`."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def image_pull_secrets(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, str]]:
    """The operator's and the model's, each once."""
    own = (secret.name for secret in model.spec.image_pull_secrets)
    return [{"name": name} for name in dict.fromkeys([*settings.image_pull_secrets, *own])]
