"""The Job that builds a model of a Hugging Face folder: `genai-builder build`, in the installation's builder image.

An init container brings the source into the cache, as a model's own pods fetch theirs; a claim's folder is mounted.
What was built lies in the cache, from where the model's pods take it. Logs are the pod's.
"""

from typing import Any

from genai_operator.api.build_spec import Build
from genai_operator.api.built import build_wish
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_uri import ClaimModel
from genai_operator.api.names import build_job_name, service_account_name
from genai_operator.builders.environment import user_environment
from genai_operator.builders.fetch import shared_resources, source_container
from genai_operator.builders.job import model_job
from genai_operator.builders.restricted import container_security, image_pull_secrets, pod_security
from genai_operator.builders.runtime_image import plain_image
from genai_operator.builders.scheduling import scheduling
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.storage import control_certificate, model_credentials
from genai_operator.constants import (
    CONTAINER_BUILD,
    LABEL_BUILD,
    PATH_CONTROL_TLS,
    PATH_EVALUATION,
    PATH_MODEL_CACHE,
    PATH_MODEL_SOURCE,
    PATH_MODELS,
    PORT_CONTROL,
)

# For sources that are away, and nodes that go; a build that failed would fail again.
_RETRIES = 3
# The result is in the status by then, and the logs were to be had for a day.
_KEPT_SECONDS = 86_400
_LINK_SIZE_LIMIT = "1Mi"
# What is large is put beside the cache.
_TMP_SIZE_LIMIT = "1Gi"
_TEXT = f"{PATH_EVALUATION}/text"


def build_job(model: GenAIModel, build: Build, settings: BuilderSettings) -> dict[str, Any]:
    """The Job. `settings` name a builder image."""
    spec = {
        "backoffLimit": _RETRIES,
        "podFailurePolicy": {"rules": _failures()},
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
    }
    name, marks = build_job_name(model.metadata.name), (LABEL_BUILD, "genai-builder")
    return model_job(model, name, marks, build_wish(model), spec, _pod(model, build, settings))


def _failures() -> list[dict[str, Any]]:
    """A pod that was evicted does not count; a build that ended badly is not tried again."""
    ended = {"containerName": CONTAINER_BUILD, "operator": "NotIn", "values": [0]}
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": ended},
    ]


def _pod(model: GenAIModel, build: Build, settings: BuilderSettings) -> dict[str, Any]:
    spec = model.spec
    policy = spec.image_pull_policy or settings.image_pull_policy
    runtime = {"image": plain_image(model, settings), "imagePullPolicy": policy}
    folder, mounts = _folder(model), _mounts(model, settings)
    source = source_container(model, settings, runtime, folder, mounts)
    container = {
        "name": CONTAINER_BUILD,
        "image": settings.builder_image,
        "imagePullPolicy": policy,
        "args": _arguments(model, build, folder),
        "env": user_environment(model),
        "resources": shared_resources(build.resources or spec.resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": _of_builder(build, mounts),
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": spec.service_account_name or service_account_name(model.metadata.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "initContainers": [source] if source else [],
        "containers": [container],
        "volumes": _volumes(model, build, settings),
        "imagePullSecrets": image_pull_secrets(model, settings),
        **{name: value for name, value in scheduling(model).items() if name != "topologySpreadConstraints"},
    }
    return {name: value for name, value in pod.items() if value != []}


def _arguments(model: GenAIModel, build: Build, folder: str) -> list[str]:
    found = ["build", "--source", folder, "--cache", PATH_MODEL_CACHE]
    found += ["--provider", model.spec.provider, "--precision", str(model.spec.precision)]
    evaluation = build.evaluation
    for option, value in (
        ("--int4-block-size", build.int4_block_size),
        ("--int4-accuracy-level", build.int4_accuracy_level),
        ("--text", _TEXT if evaluation is not None else None),
        ("--max-tokens", evaluation.max_tokens if evaluation is not None else None),
    ):
        found += [option, str(value)] if value is not None else []
    return [*found, "--control-port", str(PORT_CONTROL), "--control-tls-dir", PATH_CONTROL_TLS]


def _folder(model: GenAIModel) -> str:
    """Where the source is in the pod."""
    location = model.spec.model.location()
    return f"{PATH_MODELS}/{location.path}" if isinstance(location, ClaimModel) else PATH_MODEL_SOURCE


def _in_cache(model: GenAIModel) -> bool:
    """Whether the source is a folder of the cache's own claim: a kubelet mounts no claim twice into a pod."""
    location, cache = model.spec.model.location(), model.spec.model.cache
    return isinstance(location, ClaimModel) and cache is not None and location.claim == cache.claim_name


def _volumes(model: GenAIModel, build: Build, settings: BuilderSettings) -> list[dict[str, Any]]:
    location, cache = model.spec.model.location(), model.spec.model.cache
    source: dict[str, Any] = {"emptyDir": {"sizeLimit": _LINK_SIZE_LIMIT}}
    if isinstance(location, ClaimModel):
        source = {"persistentVolumeClaim": {"claimName": location.claim, "readOnly": True}}
    found: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE_LIMIT}},
        control_certificate(model).source(),
        *(each.source() for each in model_credentials(model, settings)),
        *([] if _in_cache(model) else [{"name": "models", **source}]),
        {"name": "model-cache", "persistentVolumeClaim": {"claimName": cache.claim_name if cache else ""}},
    ]
    if build.evaluation is not None:
        items = [{"key": build.evaluation.key, "path": "text"}]
        # Optional to the kubelet, which would wait for it without a word in the pod's status.
        text = {"name": build.evaluation.config_map_name, "items": items, "optional": True}
        found.append({"name": "evaluation", "configMap": text})
    return found


def _mounts(model: GenAIModel, settings: BuilderSettings) -> list[dict[str, Any]]:
    """Of the init container."""
    in_place = isinstance(model.spec.model.location(), ClaimModel)
    return [
        {"name": "tmp", "mountPath": "/tmp"},
        control_certificate(model).mount(),
        *(each.mount() for each in model_credentials(model, settings)),
        {
            "name": "model-cache" if _in_cache(model) else "models",
            "mountPath": PATH_MODELS,
            **({"readOnly": True} if in_place else {}),
        },
        {"name": "model-cache", "mountPath": PATH_MODEL_CACHE},
    ]


def _of_builder(build: Build, mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same without the source's credentials, and with the text."""
    found = [
        {**each, "readOnly": True} if each["mountPath"] == PATH_MODELS else each
        for each in mounts
        if each["name"] != "model-credentials"
    ]
    text = {"name": "evaluation", "mountPath": PATH_EVALUATION, "readOnly": True}
    return [*found, text] if build.evaluation is not None else found
