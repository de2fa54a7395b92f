"""What a tuning pod has besides, where it tries other builds of the model: init containers that build them.

Each is what the model's own build Job runs, with other values and a link to what it made; what is in the cache is not
built again. They share the Job's volumes and come one after the other, so that they need no more than one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.variants import Variant
from genai_operator.builders.build import build_job
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import PATH_MODEL_CACHE, PATH_VARIANTS
from genai_operator.errors import InvalidModel

_VOLUME = "variants"
_CACHE_VOLUME = "model-cache"
_LINKS_SIZE_LIMIT = "1Mi"


@dataclass(frozen=True, slots=True)
class Making:
    """Parts of a pod that builds variants before it measures them."""

    init_containers: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]  # of the container that measures
    arguments: list[str]  # of `genai-runtime tune`


def variant_path(variant: Variant) -> str:
    """Where the container that measures finds a build."""
    return f"{PATH_VARIANTS}/{variant.name}"


def making(model: GenAIModel, variants: Sequence[Variant], settings: BuilderSettings) -> Making:
    """For a model that has `build`, with a sweep over these variants.

    Raises:
        InvalidModel: the operator was installed without a builder.
    """
    if not settings.builder_image:
        raise InvalidModel(
            "InvalidSpec", "tuning.sweep has builds to try, and the operator was installed without a builder"
        )
    pods = [_pod(model, variant, settings) for variant in variants]
    links = {"name": _VOLUME, "mountPath": PATH_VARIANTS}
    builds = []
    for variant, pod in zip(variants, pods, strict=True):
        (container,) = pod["containers"]
        builds.append(
            {
                **{name: value for name, value in container.items() if value != []},
                "name": f"build-{variant.name}",
                "args": [*container["args"], "--link", variant_path(variant)],
                "volumeMounts": [*container["volumeMounts"], links],
            }
        )
    sweep = model.spec.tuning.sweep if model.spec.tuning else None
    named = [part for each in variants for part in ("--variant", f"{each.name}={variant_path(each)}")]
    most = [] if sweep is None else ["--max-perplexity-increase", f"{sweep.max_increase_percent:g}"]
    return Making(
        init_containers=[*pods[0].get("initContainers", ()), *builds],
        volumes=[*pods[0]["volumes"], {"name": _VOLUME, "emptyDir": {"sizeLimit": _LINKS_SIZE_LIMIT}}],
        mounts=[{"name": _CACHE_VOLUME, "mountPath": PATH_MODEL_CACHE, "readOnly": True}, {**links, "readOnly": True}],
        arguments=[*named, *most],
    )


def _pod(model: GenAIModel, variant: Variant, settings: BuilderSettings) -> dict[str, Any]:
    """Of the Job that would build the model like this."""
    source = model.spec.model
    if source.build is None:
        raise ValueError("nobody asked for a build")
    build = variant.build(source.build)
    spec = model.spec.model_copy(
        update={"precision": variant.precision, "model": source.model_copy(update={"build": build})}
    )
    job = build_job(model.model_copy(update={"spec": spec}), build, settings)
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod
