"""The two programs that turn a Dockerfile into an archive: docker, or buildah on bases made from Debian's packages.

Which files go in and what the result must be is decided in `recipes.py` and `audit.py`.
"""

from __future__ import annotations

import abc
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from imagebuild.recipes import ROOT, Recipe
from localkube import packages, places
from localkube.errors import LocalKubeError

_CERTIFICATES = Path("/etc/ssl/certs")
_INHERITED = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
"""Settings of this machine that a build needs too; the Dockerfiles declare them as arguments."""
_SUITE = "trixie"
_PATHS = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_BASES = {
    "run": ("essential", "python3-minimal,libpython3-stdlib,libstdc++6,netbase,tzdata"),
    "build": ("apt", "python3,python3-venv,libstdc++6,ca-certificates,binutils"),
    "torch": ("apt", "python3-torch,python3-venv,ca-certificates"),
}
"""Name to mmdebstrap's variant and packages; the same Python is at the same path in both."""


class Engine(abc.ABC):
    """Builds a recipe into a docker-archive."""

    @abc.abstractmethod
    def bases(self, recipe: Recipe) -> list[str]:
        """What identifies the recipe's base images, for the key of a build."""

    @abc.abstractmethod
    def build(self, recipe: Recipe, archive: Path) -> None:
        """Raises LocalKubeError with the last lines of the build when it fails."""


class Docker(Engine):
    """The Dockerfiles as they are, on their public base."""

    def bases(self, recipe: Recipe) -> list[str]:
        return ["docker"]

    def build(self, recipe: Recipe, archive: Path) -> None:
        command = ["docker", "build", "--file", recipe.dockerfile, "--tag", recipe.image, *_arguments(recipe), "."]
        _run(command)
        _run(["docker", "save", "--output", str(archive), recipe.image])


class Buildah(Engine):
    """Without a registry: the bases are made once by mmdebstrap and kept in the cache."""

    def __init__(self) -> None:
        self._folder = places.cache_dir() / "containers"

    def bases(self, recipe: Recipe) -> list[str]:
        return [self._base_image(name) for _, name in recipe.bases]

    def build(self, recipe: Recipe, archive: Path) -> None:
        packages.ensure(packages.IMAGES, "image builds")
        for _, name in recipe.bases:
            self._ensure_base(name)
        bases = [f"{argument}={self._base_image(name)}" for argument, name in recipe.bases]
        command = [
            *("bud", "--file", recipe.dockerfile, "--tag", recipe.image, "--layers", "--pull-never"),
            *("--isolation", "chroot", "--network", "host"),
            # this machine may have authorities of its own
            *("--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"),
            *(word for base in bases for word in ("--build-arg", base)),
            *_arguments(recipe),
            str(ROOT),
        ]
        # what a build that failed left behind
        self._buildah("rm", "--all")
        self._buildah(*command)
        self._buildah("push", "--quiet", recipe.image, f"docker-archive:{archive}:{recipe.image}")

    def _base_image(self, name: str) -> str:
        recipe = hashlib.sha256(repr((_SUITE, _PATHS, _BASES[name])).encode()).hexdigest()[:12]
        return f"localhost/genai-base-{name}:{recipe}"

    def _ensure_base(self, name: str) -> None:
        image = self._base_image(name)
        if self._buildah("images", "--quiet", "--filter", f"reference={image}").strip():
            return
        variant, included = _BASES[name]
        print(f"making the {name} base image: Debian {_SUITE} with {included}", flush=True)
        folder = self._folder / f"base-{name}.{os.getpid()}"
        folder.mkdir(parents=True)
        try:
            options = [f"--dpkgopt=path-exclude={path}" for path in _PATHS]
            _run(
                [
                    *("mmdebstrap", "--quiet", f"--variant={variant}", f"--include={included}", *options),
                    *("--dpkgopt=path-include=/usr/share/doc/*/copyright", _SUITE, str(folder / "root.tar")),
                ]
            )
            (folder / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
            self._buildah("bud", "--quiet", "--isolation", "chroot", "--tag", image, str(folder))
        finally:
            shutil.rmtree(folder)

    def _buildah(self, command: str, *arguments: str) -> str:
        storage = ["--root", str(self._folder / "storage"), "--runroot", str(self._folder / "run")]
        # in a mount namespace of its own: the storage driver leaves a mount of its folder behind
        private = ["unshare", "--mount", "--propagation", "private", "--"]
        return _run([*private, "buildah", *storage, "--storage-driver", "overlay", command, *arguments])


def _arguments(recipe: Recipe) -> list[str]:
    given = [f"{name}={os.environ[name]}" for name in _INHERITED if os.environ.get(name)]
    return [word for setting in (*given, *recipe.arguments) for word in ("--build-arg", setting)]


def _run(command: list[str]) -> str:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{packages.SYSTEM_PATH}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).strip()[-4000:]
        raise LocalKubeError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
    return done.stdout
