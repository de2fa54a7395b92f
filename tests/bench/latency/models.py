"""The benchmark model in the two precisions that are compared: the same weights as four bits and as floats."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import serving
from bench.serving.model_folder import write_folder
from bench.serving.shape import MEDIUM, random_weights

BLOCK = 32
_SOURCES = ("shape", "int4", "graph", "vocabulary", "model_folder", "reference")


@dataclass(frozen=True)
class Models:
    """Two GenAI model folders."""

    int4: Path
    float32: Path


def ensure(cache: Path) -> Models:
    """Both folders, made where they are missing (some seconds, 0.6 GB)."""
    folder = Path(next(iter(serving.__path__)))
    digest = hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()[:12]
    root = cache / f"models-{digest}"
    models = Models(root / f"int4-block-{BLOCK}", root / "float32")
    with _locked(cache / "models.lock"):
        if root.exists():
            return models
        for old in cache.glob("models-*/"):
            shutil.rmtree(old)
        print(f"writing the benchmark model to {root}", flush=True)
        weights, made = random_weights(MEDIUM), cache / "models.new"
        shutil.rmtree(made, ignore_errors=True)
        write_folder(made / models.int4.name, MEDIUM, weights, BLOCK)
        write_folder(made / models.float32.name, MEDIUM, weights, 0)
        made.rename(root)
    return models


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
