"""`make images`: builds what changed, checks it, and loads it into the cluster if one is up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagebuild import audit
from imagebuild.engines import Buildah, Docker, Engine
from imagebuild.recipes import ALL, Recipe, input_key
from localkube import places
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError
from localkube.local import LocalCluster

KEPT = 3
"""Archives of one image that stay in the cache, newest first: switching between clones then costs nothing."""


def archives(cluster: Cluster, recipes: Iterable[Recipe] = ALL) -> list[Path]:
    """The checked archives of the images, built where the inputs changed. Raises LocalKubeError when an image breaks
    a rule."""
    engine: Engine = Docker() if cluster.kind == "kind" else Buildah()
    with _locked():
        return [_archive(engine, recipe) for recipe in recipes]


def load(cluster: Cluster, recipes: Iterable[Recipe] = ALL) -> None:
    """Builds, and loads into a cluster that runs."""
    for archive in archives(cluster, recipes):
        began = time.monotonic()
        if cluster.kind == "current" or (cluster.kind == "local" and not LocalCluster().status().running):
            print(f"{archive.stem}: not loaded ({cluster.kind} cluster)", flush=True)
        elif cluster.load_image(archive):
            print(f"{archive.stem}: loaded in {time.monotonic() - began:.1f} s", flush=True)


def _archive(engine: Engine, recipe: Recipe) -> Path:
    folder = places.cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{recipe.short}-{input_key(recipe, engine.bases(recipe))}.tar"
    if archive.exists():
        os.utime(archive)
        print(f"{recipe.image}: unchanged", flush=True)
        return archive
    began = time.monotonic()
    print(f"{recipe.image}: building {recipe.dockerfile}", flush=True)
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    engine.build(recipe, fresh)
    contents = audit.read(fresh)
    wrong = audit.complaints(contents, recipe.limit_mb)
    if wrong:
        raise LocalKubeError(f"{recipe.image}: {'; '.join(wrong)}")
    fresh.rename(archive)
    for old in sorted(folder.glob(f"{recipe.short}-*.tar"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink()
    size = contents.size / 10**6
    print(f"{recipe.image}: {size:.0f} of {recipe.limit_mb} MB, built in {time.monotonic() - began:.1f} s", flush=True)
    return archive


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    path = places.cache_dir() / "images.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
