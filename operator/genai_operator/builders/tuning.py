"""The Job that finds the settings for a stated load: `genai-runtime tune` in a pod shaped as the model's own.

The pod has the model's image, resources, node, volumes and what fetches the model; it serves nothing, and has none of a
server's credentials. Its figures are of the settings that the spec has, not of those that an earlier recommendation
put in place. Where other builds of the model are to be tried, it makes them first (`variants.py`).
"""

from collections.abc import Sequence
from typing import Any

from genai_operator.api.built import with_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import tuning_job_name
from genai_operator.api.recommendation import tuning_wish
from genai_operator.api.tuning_spec import Tuning
from genai_operator.api.variants import Variant, swept_variants
from genai_operator.builders.environment import engine_environment
from genai_operator.builders.job import model_job
from genai_operator.builders.model_folder import model_location
from genai_operator.builders.pod import CONTAINER as MODEL_CONTAINER
from genai_operator.builders.pod import pod_template
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.variants import making, variant_path
from genai_operator.constants import (
    LABEL_TUNING,
    PATH_ADAPTER_CACHE,
    PATH_ADAPTER_CREDENTIALS,
    PATH_API_KEYS,
    PATH_CLIENT_CA,
    PATH_CONTROL_TLS,
    PATH_TLS,
)

CONTAINER = "tuning"
# One more try is for a node that went away.
_RETRIES = 1
# Beside the measuring: images, the model's way into the pod, and engines that start slowly.
_MARGIN_SECONDS = 1800
# Of one build, measuring its quality included.
_BUILD_SECONDS = 4 * 3600
# The result is in the model's status by then.
_KEPT_SECONDS = 3600
_OF_SERVING = ("readinessGates", "topologySpreadConstraints", "terminationGracePeriodSeconds")
_OF_CONTAINER = (
    "image",
    "imagePullPolicy",
    "resources",
    "terminationMessagePolicy",
    "securityContext",
)
# What a server shows to its clients and asks of them, and what it fetches while it serves.
_CREDENTIALS = (
    *(PATH_CONTROL_TLS, PATH_TLS, PATH_CLIENT_CA, PATH_API_KEYS),
    *(PATH_ADAPTER_CREDENTIALS, PATH_ADAPTER_CACHE),
)


def tuning_job(model: GenAIModel, tuning: Tuning, settings: BuilderSettings) -> dict[str, Any]:
    """The Job of a model as read; what it is to have built, is.

    Raises:
        InvalidModel: as for the model's own pods.
    """
    variants = swept_variants(model.spec)
    spec = {
        "backoffLimit": _RETRIES,
        "activeDeadlineSeconds": 2 * tuning.max_seconds + _MARGIN_SECONDS + _BUILD_SECONDS * len(variants),
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
    }
    name, marks = tuning_job_name(model.metadata.name), (LABEL_TUNING, "genai-tuning")
    return model_job(model, name, marks, tuning_wish(model), spec, _pod(model, tuning, variants, settings))


def _pod(model: GenAIModel, tuning: Tuning, variants: Sequence[Variant], settings: BuilderSettings) -> dict[str, Any]:
    served = with_built(model)
    pod = {name: value for name, value in pod_template(served, settings)["spec"].items() if name not in _OF_SERVING}
    # Containers that the model's pods have beside would never let the Job end.
    theirs = next(each for each in pod["containers"] if each["name"] == MODEL_CONTAINER)
    container = {
        "name": CONTAINER,
        **{name: theirs[name] for name in _OF_CONTAINER if name in theirs},
        "args": ["tune", model_location(served), *_arguments(tuning)],
        "env": engine_environment(served),
        "volumeMounts": [each for each in theirs["volumeMounts"] if not each["mountPath"].startswith(_CREDENTIALS)],
    }
    found = {**pod, "restartPolicy": "Never", "containers": [container]}
    if variants:
        found = _with_variants(found, model, variants, settings)
    mounting = [*found.get("initContainers", ()), *found["containers"]]
    used = {mount["name"] for each in mounting for mount in each.get("volumeMounts", ())}
    return {**found, "volumes": [each for each in found["volumes"] if each["name"] in used]}


def _with_variants(
    pod: dict[str, Any], model: GenAIModel, variants: Sequence[Variant], settings: BuilderSettings
) -> dict[str, Any]:
    """The first variant is the model itself: its build is in the cache, and its folder is found as the others' are."""
    made = making(model, variants, settings)
    ours = {each["name"] for each in made.volumes}
    (container,) = pod["containers"]
    tune, _, *arguments = container["args"]
    kept = [each for each in container["volumeMounts"] if each["name"] == "tmp" or each["name"] not in ours]
    measuring = {
        **container,
        "args": [tune, variant_path(variants[0]), *arguments, *made.arguments],
        "volumeMounts": [*kept, *made.mounts],
    }
    volumes = [*made.volumes, *(each for each in pod["volumes"] if each["name"] not in ours)]
    return {**pod, "initContainers": made.init_containers, "containers": [measuring], "volumes": volumes}


def _arguments(tuning: Tuning) -> list[str]:
    load, sweep = tuning.load, tuning.sweep
    found = ["--clients", str(load.clients), "--prompt-tokens", str(load.prompt_tokens)]
    found += ["--new-tokens", str(load.new_tokens), "--seconds", str(tuning.max_seconds)]
    if sweep is None:
        return found
    values = {
        "--threads": sweep.threads,
        "--spinning": sweep.spinning,
        "--batch": sweep.batch,
        "--prefill-chunk": sweep.prefill_chunk,
    }
    for flag, tried in values.items():
        if tried is not None:
            found += [flag, ",".join(str(value) for value in tried) or "none"]
    return found
