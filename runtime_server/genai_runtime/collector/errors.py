"""What ends a collection; the messages are written for the user and hold no secret."""

from genai_runtime.errors import RuntimeServerError


class CollectionFailed(RuntimeServerError):
    """No trace was written, or not whole; collecting again begins anew."""


class PodUnusable(RuntimeServerError):
    """One pod's trace could not be had; others may."""
