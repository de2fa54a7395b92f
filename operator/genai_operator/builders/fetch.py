"""The init container of a model pod: `genai-runtime fetch` where the model is elsewhere, `digest` where it is there and
`model.sha256` says what it must be. The model's container starts when it has ended well.

What it is told goes by arguments; credentials are files, and it alone has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_uri import ClaimModel
from genai_operator.api.pod_fields import Resources
from genai_operator.builders.environment import user_environment
from genai_operator.builders.model_folder import is_fetched, max_bytes, model_location
from genai_operator.builders.restricted import container_security
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.storage import init_volume_mounts
from genai_operator.constants import (
    CONTAINER_FETCH,
    CONTAINER_VERIFY,
    PATH_CONTROL_TLS,
    PATH_MODEL,
    PATH_MODEL_CACHE,
    PATH_MODEL_CREDENTIALS,
    PORT_CONTROL,
)

# With the model's own amounts, the pod is of the same class of service as without this container, and asks for no more
# of its node. GPUs and the like are not for fetching.
_SHARED_RESOURCES = ("cpu", "memory")


def init_containers(model: GenAIModel, settings: BuilderSettings, image: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pod's `initContainers`; `image` holds the fields that say which image runs."""
    if is_fetched(model, settings):
        found = {"name": CONTAINER_FETCH, **image, "args": fetch_arguments(model), **_environment(model, settings)}
    elif model.spec.model.sha256 is not None:
        arguments = ["digest", model_location(model), "--sha256", model.spec.model.sha256]
        found = {"name": CONTAINER_VERIFY, **image, "args": arguments}
    else:
        return []
    return [{**found, **_common(shared_resources(model.spec.resources), init_volume_mounts(model, settings))}]


def source_container(
    model: GenAIModel,
    settings: BuilderSettings,
    image: Mapping[str, Any],
    folder: str,
    mounts: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    """The init container of a pod that builds the model: brings what it is built of, or compares it with its digest.

    None where neither is asked for. `folder` is where the source is, or is to be; `mounts` are what it needs.
    """
    source, build = model.spec.model, model.spec.model.build
    if not isinstance(source.location(), ClaimModel):
        arguments = [*fetch_arguments(model, folder), "--all-files"]
        if build is not None and build.request is not None and not source.offline:
            arguments.append("--refresh")  # a branch may have moved on
        found = {"name": CONTAINER_FETCH, **image, "args": arguments, **_environment(model, settings)}
    elif source.sha256 is not None:
        arguments = ["digest", folder, "--sha256", source.sha256]
        found = {"name": CONTAINER_VERIFY, **image, "args": arguments}
    else:
        return None
    resources = build.resources if build is not None and build.resources is not None else model.spec.resources
    return {**found, **_common(shared_resources(resources), mounts)}


def _common(resources: Mapping[str, Any], mounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "resources": dict(resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": list(mounts),
    }


def fetch_arguments(model: GenAIModel, link: str = PATH_MODEL) -> list[str]:
    """What `genai-runtime` is told; `link` is made to point to the folder."""
    source = model.spec.model
    arguments = ["fetch", "--uri", source.uri, "--cache", PATH_MODEL_CACHE, "--link", link]
    for option, value in (
        ("--sha256", source.sha256),
        ("--endpoint", source.endpoint),
        ("--region", source.region),
        ("--secret-dir", PATH_MODEL_CREDENTIALS if source.secret_name is not None else None),
        ("--max-bytes", str(max_bytes(model))),
    ):
        arguments += [option, value] if value is not None else []
    arguments += ["--offline"] if source.offline else []
    # There the operator asks how far it is.
    return [*arguments, "--control-port", str(PORT_CONTROL), "--control-tls-dir", PATH_CONTROL_TLS]


def _environment(model: GenAIModel, settings: BuilderSettings) -> dict[str, Any]:
    """The model's own variables before the operator's."""
    own = user_environment(model)
    names = {each["name"] for each in own}
    values = {
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
    }
    given = [{"name": name, "value": value} for name, value in values.items() if value and name not in names]
    return {"env": [*given, *own]} if given or own else {}


def shared_resources(resources: Resources) -> dict[str, Any]:
    """Of them, what a container that needs no device may have."""
    return {
        name: shared
        for name, amounts in (("requests", resources.requests), ("limits", resources.limits))
        if (shared := {each: amounts[each] for each in _SHARED_RESOURCES if each in amounts})
    }
