"""The builder's image: pinned by hash, on the runtime's releases, and nothing of it in the lock or the other images."""

import re
import tomllib

from genai_runtime.engine.genai_capi import CHECKED_GENAI, CHECKED_ONNXRUNTIME
from imagebuild.recipes import ALL, BUILDER, ROOT, RUNTIME_CUDA

PINNED = (ROOT / "runtime_server" / "requirements-builder.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = {each["name"]: each["version"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}


def pins() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", PINNED, re.MULTILINE))


def test_what_is_wanted_is_pinned_by_hash() -> None:
    wanted = (ROOT / "runtime_server" / "requirements-builder.in").read_text().splitlines()
    names = {line.partition("==")[0] for line in wanted if line and not line.startswith("#")}
    assert names <= set(pins())
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", PINNED.strip()) if "==" in block)


def test_models_are_built_for_the_release_that_serves_them() -> None:
    found = pins()
    assert (found["onnxruntime-genai"], found["onnxruntime"]) == (CHECKED_GENAI, CHECKED_ONNXRUNTIME)


def test_the_other_images_have_neither_its_libraries_nor_its_program() -> None:
    assert not {"torch", "transformers", "onnx-ir"} & set(LOCKED)
    assert not [name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] if "builder" in name]
    for recipe in (*ALL, RUNTIME_CUDA):
        assert not [name for name in recipe.inputs if "builder" in name]


def test_pytorch_is_debians() -> None:
    assert not [name for name in pins() if "torch" in name or "nvidia" in name]
    text = (ROOT / BUILDER.dockerfile).read_text()
    assert "python3-torch" in text
    assert BUILDER.bases == (("BASE", "torch"),)
