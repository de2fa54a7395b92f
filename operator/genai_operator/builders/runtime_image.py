"""Which image a model's pods run: the spec's, or the installation's for the provider."""

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.settings import BuilderSettings
from genai_operator.errors import InvalidModel

_UNAVAILABLE = "ExecutionProviderUnavailable"


def runtime_image(model: GenAIModel, settings: BuilderSettings) -> str:
    """The image that the model's pods run.

    Raises:
        InvalidModel: the installation has none for the provider, and the spec names none.
    """
    spec = model.spec
    if spec.image is not None:
        return spec.image
    own = settings.runtime_images.get(spec.provider)
    if own is not None:
        return own
    if spec.provider == "cpu" or spec.provider_fallback == "Allow":
        return settings.runtime_image
    raise InvalidModel(
        _UNAVAILABLE,
        f"spec.provider is {spec.provider}, and this installation has no image for it: have runtimeImages."
        f"{spec.provider} set in the operator's chart, name an image that has it in spec.image, or use provider: cpu",
    )


def plain_image(model: GenAIModel, settings: BuilderSettings) -> str:
    """An image of ours for what needs no provider."""
    return model.spec.image or settings.runtime_image
