"""The releases that a built model depends on: they are part of what names it."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("onnxruntime-genai", "onnxruntime", "transformers", "torch")


def builder_versions() -> str:
    """For people and for the key: "onnxruntime-genai 0.18.0, …"; a package that is not installed is left out."""
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) or f"python {platform.python_version()}"
