"""How a build goes wrong, as the reasons that the operator shows. What a source lacks is `source_folder.py`'s."""

from genai_runtime.errors import ModelUnusable


def source_invalid(message: str) -> ModelUnusable:
    """No model can be built of this folder."""
    return ModelUnusable("ModelInvalid", message)


def source_missing(message: str) -> ModelUnusable:
    """There is no folder to build of."""
    return ModelUnusable("ModelNotFound", message)


def build_failed(message: str) -> ModelUnusable:
    """The builder did not do it, or what it made cannot be served."""
    return ModelUnusable("BuildFailed", message)


def out_of_memory(message: str) -> ModelUnusable:
    """The builder was killed for its memory."""
    return ModelUnusable("OutOfMemory", message)
