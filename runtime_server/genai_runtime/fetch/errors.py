"""How fetching goes wrong: for good, with one of the documented reasons, or for now.

What is for good is `ModelUnusable`; its messages name the source and what helps, and hold no secret.
"""

from genai_runtime.errors import ModelUnusable


class Passing(Exception):
    """The network or the server failed in a way that may pass. `wait`: seconds that the server asks for, 0 if none."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.wait = wait


class SourceChanged(Passing):
    """The source has other bytes now than when it was listed: it has to be listed again."""


def not_found(message: str) -> ModelUnusable:
    """There is no model where the URI says."""
    return ModelUnusable("ModelNotFound", message)


def invalid(message: str) -> ModelUnusable:
    """What the source gave is no model that may be used."""
    return ModelUnusable("ModelInvalid", message)


def unauthorized(message: str) -> ModelUnusable:
    """The source wants other credentials."""
    return ModelUnusable("Unauthorized", message)


def checksum_mismatch(message: str) -> ModelUnusable:
    """The bytes are not those that were promised."""
    return ModelUnusable("ChecksumMismatch", message)


def too_large(message: str) -> ModelUnusable:
    """More than `--max-bytes`."""
    return ModelUnusable("ModelTooLarge", message)


def storage_full(message: str) -> ModelUnusable:
    """The cache has no room."""
    return ModelUnusable("StorageFull", message)


def unavailable(message: str) -> ModelUnusable:
    """The source cannot be reached, or does not do what it should."""
    return ModelUnusable("SourceUnavailable", message)
