"""Where the model's folder is in its pod, and the volumes that it lies on. Credentials and scratch are `storage.py`'s.

A fetched model lies in a cache by its content, and PATH_MODEL is a link to it. The cache can be written by the init
container alone.
"""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_uri import BuiltinModel, ClaimModel, ConfigMapModel, RemoteModel
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import PATH_BUILTIN_MODELS, PATH_MODEL, PATH_MODEL_CACHE, PATH_MODELS

# Of one fetched folder, where `model.maxBytes` does not say.
DEFAULT_MAX_BYTES = 64 * 1024**3
_LINK_SIZE_LIMIT = "1Mi"
# What the cache holds beside the folder: records of sources, and locks.
_CACHE_MARGIN = 64 * 1024**2
# The kubelet swaps a ConfigMap's files by links, which are none of a model folder's; behind this one are the files.
_CONFIGMAP_FILES = "..data"


def model_location(model: GenAIModel) -> str:
    """What `genai-runtime serve` is told: a folder in the pod, or a model of the image by its URI."""
    return model.spec.model.uri if isinstance(model.spec.model.location(), BuiltinModel) else _folder(model)


def is_fetched(model: GenAIModel, settings: BuilderSettings) -> bool:
    """Whether an init container brings the model out of a cache, rather than the kubelet mounting it.

    A claim's folder has a cache only where a model was built of it: that one is in the cache.
    """
    remote = isinstance(model.spec.model.location(), RemoteModel) or model.spec.model.cache is not None
    return remote and not _is_image_volume(model, settings)


def max_bytes(model: GenAIModel) -> int:
    """The largest folder that is fetched."""
    return model.spec.model.max_bytes_value() or DEFAULT_MAX_BYTES


def model_volumes(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, Any]]:
    """The pod's volumes with the model; none for a model of the image."""
    location = model.spec.model.location()
    if is_fetched(model, settings):
        return [{"name": "models", "emptyDir": {"sizeLimit": _LINK_SIZE_LIMIT}}, _cache(model)]
    if isinstance(location, ClaimModel):
        claim = {"claimName": location.claim, "readOnly": True}
        return [{"name": "models", "persistentVolumeClaim": claim}]
    if isinstance(location, ConfigMapModel):
        # Optional to the kubelet, which would wait for it without a word in the pod's status.
        return [{"name": "models", "configMap": {"name": location.name, "optional": True}}]
    if isinstance(location, RemoteModel):
        return [{"name": "models", "image": {"reference": location.rest, "pullPolicy": "IfNotPresent"}}]
    return []


def model_mounts(model: GenAIModel, settings: BuilderSettings, *, fetching: bool = False) -> list[dict[str, Any]]:
    """Where a container sees them: read-only, but in the one that fetches."""
    location = model.spec.model.location()
    if is_fetched(model, settings):
        found = [{"name": "models", "mountPath": PATH_MODELS}, {"name": "model-cache", "mountPath": PATH_MODEL_CACHE}]
        return found if fetching else [{**each, "readOnly": True} for each in found]
    if isinstance(location, ClaimModel):
        return [{"name": "models", "mountPath": PATH_MODELS, "readOnly": True}]
    if isinstance(location, ConfigMapModel):
        return [{"name": "models", "mountPath": PATH_MODEL, "subPath": _CONFIGMAP_FILES, "readOnly": True}]
    if isinstance(location, RemoteModel):
        return [{"name": "models", "mountPath": PATH_MODEL, "readOnly": True}]
    return []


def image_volume_secrets(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, str]]:
    """What the kubelet pulls the model's image with, where it does."""
    secret = model.spec.model.secret_name
    return [{"name": secret}] if secret is not None and _is_image_volume(model, settings) else []


def _folder(model: GenAIModel) -> str:
    location = model.spec.model.location()
    if isinstance(location, BuiltinModel):
        return f"{PATH_BUILTIN_MODELS}/{location.name}"
    in_place = isinstance(location, ClaimModel) and model.spec.model.cache is None
    return f"{PATH_MODELS}/{location.path}" if isinstance(location, ClaimModel) and in_place else PATH_MODEL


def _is_image_volume(model: GenAIModel, settings: BuilderSettings) -> bool:
    """The kubelet cannot do what these fields ask for."""
    source = model.spec.model
    asked = (source.cache, source.endpoint, source.max_bytes)
    return settings.image_volumes and source.uri.startswith("oci:") and all(each is None for each in asked)


def _cache(model: GenAIModel) -> dict[str, Any]:
    source = model.spec.model
    if source.cache is not None:
        return {"name": "model-cache", "persistentVolumeClaim": {"claimName": source.cache.claim_name}}
    # An archive lies there until it is unpacked; so do an image's layers.
    size = max_bytes(model) * (2 if source.uri.startswith(("https:", "oci:")) else 1) + _CACHE_MARGIN
    return {"name": "model-cache", "emptyDir": {"sizeLimit": str(size)}}
