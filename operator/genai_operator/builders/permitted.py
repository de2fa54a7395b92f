"""Whether a model asks only for what this installation lets models ask for. Pure; what pods get is built elsewhere.

The API server cannot know the operator's settings, so this is the one part of a spec that is refused by the operator.
"""

from collections.abc import Iterable

from genai_operator.api.genaimodel import INVALID_SPEC, GenAIModel
from genai_operator.builders.settings import BuilderSettings
from genai_operator.errors import InvalidModel

_ANY = "*"


def check_permitted(model: GenAIModel, settings: BuilderSettings) -> None:
    """Does nothing when all is permitted.

    Raises:
        InvalidModel: it is not; the message names the field, the name that is not permitted, and the setting.
    """
    spec = model.spec
    _check_names("podLabels", spec.pod_labels, settings.pod_labels, "models.podLabels")
    _check_names("podAnnotations", spec.pod_annotations, settings.pod_annotations, "models.podAnnotations")
    _check_names("env", (each.name for each in spec.env), settings.env, "models.env")
    if spec.pod_template is not None and not settings.allow_pod_template:
        raise _refusal(
            "spec.podTemplate: this installation has no use of it",
            "use the spec's own fields, or have the chart's value models.allowPodTemplate set to true",
        )
    if spec.autoscaling is not None and spec.autoscaling.type not in settings.autoscalers:
        kind = spec.autoscaling.type
        raise _refusal(
            f"spec.autoscaling.type: this installation makes no objects for {kind}",
            f"have the chart's value autoscaling.{kind.lower()} set to true",
        )


def permitted(name: str, allowed: Iterable[str]) -> bool:
    """Whether a name is in a list of names; one that ends with `*` stands for all that begin like it."""
    return any(name.startswith(each.removesuffix(_ANY)) if each.endswith(_ANY) else name == each for each in allowed)


def _check_names(field: str, names: Iterable[str], allowed: tuple[str, ...], value: str) -> None:
    refused = [name for name in names if not permitted(name, allowed)]
    if refused:
        known = ", ".join(allowed) or "nothing"
        raise _refusal(
            f"spec.{field}: {', '.join(sorted(refused)[:3])} is not permitted in this installation",
            f"permitted are {known}; have the name added to the chart's value {value}",
        )


def _refusal(what: str, remedy: str) -> InvalidModel:
    return InvalidModel(INVALID_SPEC, f"{what}; {remedy}")
