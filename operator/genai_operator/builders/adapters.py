"""What a pod has for LoRA adapters that it fetches while it serves: a cache of its own, and how it gets out.

Nothing of it depends on which adapters there are, but for their Secrets: adapters are live options. Secrets are
`storage.py`'s.
"""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import PATH_ADAPTER_CACHE

# Of all adapters together.
CACHE_BYTES = 8 * 1024**3
# An archive lies there until it is unpacked, and what is no longer wanted until the new ones have come.
_VOLUME_BYTES = 2 * CACHE_BYTES + 64 * 1024**2
_VOLUME = "adapters"


def fetches_adapters(model: GenAIModel) -> bool:
    """Whether any is to be fetched."""
    return any(each.uri is not None for each in model.spec.adapters)


def adapter_volumes(model: GenAIModel) -> list[dict[str, Any]]:
    """The pod's volume of the cache."""
    return [{"name": _VOLUME, "emptyDir": {"sizeLimit": str(_VOLUME_BYTES)}}] if fetches_adapters(model) else []


def adapter_mounts(model: GenAIModel) -> list[dict[str, Any]]:
    """Where the model's container sees it."""
    return [{"name": _VOLUME, "mountPath": PATH_ADAPTER_CACHE}] if fetches_adapters(model) else []


def adapter_secrets(model: GenAIModel) -> list[str]:
    """Those that the adapters name, each once."""
    return sorted({each.secret_name for each in model.spec.adapters if each.secret_name is not None})


def adapter_settings(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    """What the server is told; a proxy is for fetching alone, not for its other calls."""
    if not fetches_adapters(model):
        return {}
    own = {each.name: each.value for each in model.spec.env}
    given = {
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
    }
    proxies = {name: value for name, value in given.items() if value and name not in own}
    return {"adapter_cache_bytes": CACHE_BYTES, **({"adapter_proxies": proxies} if proxies else {})}
