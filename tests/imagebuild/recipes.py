"""The project's images: name, Dockerfile, what goes in, how large it may be. Pure but for reading the inputs to hash
them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "operator/genai_operator",
    "runtime_server/genai_runtime",
    "runtime_server/genai_protocol",
    "runtime_server/genai_traces",
)
_PROJECT = (".dockerignore", "pyproject.toml", "uv.lock", "README.md", "LICENSE", *_PACKAGES)


@dataclass(frozen=True)
class Recipe:
    """`inputs`: files and folders, relative to the repository's root. `limit_mb`: uncompressed, in 10^6 bytes.

    `arguments`: of the build, as NAME=VALUE. `bases`: (argument of the build, base image of engines.py).
    """

    image: str
    dockerfile: str
    inputs: tuple[str, ...]
    limit_mb: int
    arguments: tuple[str, ...] = ()
    bases: tuple[tuple[str, str], ...] = (("BASE", "run"), ("BUILD_BASE", "build"))

    @property
    def short(self) -> str:
        """`genai-runtime` of `localhost/genai-runtime:dev`."""
        return self.image.rpartition("/")[2].partition(":")[0]


OPERATOR = Recipe("localhost/genai-operator:dev", "operator/Dockerfile", _PROJECT, 220)
_RUNTIME = (*_PROJECT, "runtime_server/requirements-cuda.txt", "examples/hello-model/model")
RUNTIME = Recipe("localhost/genai-runtime:dev", "runtime_server/Dockerfile", _RUNTIME, 300)
# Only where it is asked for: `python -m imagebuild cuda`.
RUNTIME_CUDA = Recipe(
    "localhost/genai-runtime-cuda:dev", "runtime_server/Dockerfile", _RUNTIME, 3600, ("PROVIDER=cuda",)
)
# Only where it is asked for: `python -m imagebuild builder`.
BUILDER = Recipe(
    "localhost/genai-builder:dev",
    "runtime_server/builder.Dockerfile",
    (
        ".dockerignore",
        "runtime_server/requirements-builder.txt",
        *(f"runtime_server/{name}" for name in ("genai_protocol", "genai_runtime", "genai_builder")),
    ),
    1100,
    bases=(("BASE", "torch"),),
)
ALL = (OPERATOR, RUNTIME)


def input_key(recipe: Recipe, bases: Iterable[str], root: Path = ROOT) -> str:
    """Changes when a build would give another image: file contents and names, the Dockerfile and the base images."""
    digest = hashlib.sha256("\0".join([*bases, *recipe.arguments]).encode())
    for path in _files(root, (recipe.dockerfile, *recipe.inputs)):
        digest.update(f"\0{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(root: Path, inputs: Iterable[str]) -> list[Path]:
    found: set[Path] = set()
    for name in inputs:
        path = root / name
        if not path.exists():
            raise FileNotFoundError(f"{name}, an input of the image, is not in {root}")
        found.update(path.rglob("*") if path.is_dir() else (path,))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
