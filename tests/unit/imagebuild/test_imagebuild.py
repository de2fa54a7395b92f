"""The key of a build and the check of its result."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from imagebuild import audit
from imagebuild.recipes import ALL, BUILDER, ROOT, Recipe, input_key

RECIPE = Recipe("localhost/thing:dev", "Dockerfile", ("source", "lock"), 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "source/__pycache__").mkdir(parents=True)
    (tmp_path / "source/a.py").write_text("a")
    (tmp_path / "lock").write_text("1")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    return tmp_path


@pytest.mark.parametrize("changed", ["source/a.py", "lock", "Dockerfile", "source/new.py"])
def test_every_input_is_in_the_key(root: Path, changed: str) -> None:
    before = input_key(RECIPE, ["base"], root)
    (root / changed).write_text("changed")
    assert input_key(RECIPE, ["base"], root) != before


def test_the_base_is_in_the_key_and_byte_code_is_not(root: Path) -> None:
    before = input_key(RECIPE, ["base"], root)
    (root / "source/__pycache__/a.pyc").write_text("x")
    assert input_key(RECIPE, ["base"], root) == before
    assert input_key(RECIPE, ["newer"], root) != before


def test_a_missing_input_is_named(root: Path) -> None:
    (root / "lock").unlink()
    with pytest.raises(FileNotFoundError, match="lock, an input of the image"):
        input_key(RECIPE, [], root)


@pytest.mark.parametrize("recipe", [*ALL, BUILDER], ids=lambda recipe: recipe.short)
def test_the_dockerfiles_copy_nothing_that_is_not_an_input(recipe: Recipe) -> None:
    lines = (ROOT / recipe.dockerfile).read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    assert copied
    for word in copied:
        assert any(name == word or name.startswith(f"{word}/") for name in recipe.inputs), word


def archive(path: Path, layers: list[list[str]], user: str = "65532") -> Path:
    """A docker-archive whose layers hold empty files of these names."""
    config = json.dumps({"config": {"User": user, "Env": ["A=1"]}}).encode()
    files = {f"{number}.tar": _tar(dict.fromkeys(names, b"")) for number, names in enumerate(layers)}
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": list(files)}]).encode()
    path.write_bytes(_tar({**files, "config.json": config, "manifest.json": manifest}))
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    layers = [["usr/bin/pip", "a/b", "a/c", "d/e"], ["usr/bin/.wh.pip", "a/.wh..wh..opq", "a/new", ".wh.d"]]
    contents = audit.read(archive(tmp_path / "x.tar", layers))
    assert contents.files == {"a/new"}
    assert contents.environment == {"A=1"}
    assert audit.complaints(contents, 1) == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/gcc",
        "usr/bin/gcc-14",
        "usr/local/bin/pip3.13",
        "usr/lib/python3/dist-packages/pip/__init__.py",
        "opt/genai/venv/lib/python3.13/site-packages/setuptools-80.9.0.dist-info/METADATA",
        "usr/lib/python3.13/ensurepip/__init__.py",
        "opt/tools/bin/uv",
    ],
)
def test_installers_and_compilers_are_found(tmp_path: Path, path: str) -> None:
    found = audit.complaints(audit.read(archive(tmp_path / "x.tar", [["etc/hosts", path]])), 1)
    assert found == [f"contains an installer or compiler: {path}"]


@pytest.mark.parametrize("path", ["usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "opt/pipeline/pip.txt", "usr/bin/ldd"])
def test_what_only_sounds_like_one_is_not(tmp_path: Path, path: str) -> None:
    assert audit.complaints(audit.read(archive(tmp_path / "x.tar", [[path]])), 1) == []


def test_size_and_root_are_found(tmp_path: Path) -> None:
    contents = audit.read(archive(tmp_path / "x.tar", [["a"]], user="0:0"))
    size = f"{contents.size / 10**6:.0f} MB is more than the limit of 0 MB"
    assert audit.complaints(contents, 0) == [size, "runs as 0:0"]
