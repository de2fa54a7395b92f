"""The CUDA build of the runtime: the same releases as the CPU's, pinned by hash, and apart from the lock file."""

import re
import tomllib
from dataclasses import replace

from genai_runtime.engine.genai_capi import CHECKED_GENAI, CHECKED_ONNXRUNTIME
from imagebuild.recipes import ROOT, RUNTIME, RUNTIME_CUDA, input_key

PINNED = (ROOT / "runtime_server" / "requirements-cuda.txt").read_text()


def pins() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", PINNED, re.MULTILINE))


def test_the_gpu_wheels_are_of_the_releases_that_are_checked() -> None:
    found = pins()
    assert found["onnxruntime-genai-cuda"] == CHECKED_GENAI
    assert found["onnxruntime-gpu"] == CHECKED_ONNXRUNTIME


def test_every_requirement_is_pinned_by_hash() -> None:
    wanted = (ROOT / "runtime_server" / "requirements-cuda.in").read_text().splitlines()
    names = {line.partition("==")[0] for line in wanted if line and not line.startswith("#")}
    assert set(pins()) == names
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", PINNED.strip()) if "==" in block)


def test_the_lock_file_holds_none_of_them() -> None:
    # Both builds of ONNX Runtime are the package `onnxruntime`: in one environment they overwrite each other.
    locked = {each["name"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert not locked & set(pins())
    assert {"onnxruntime", "onnxruntime-genai"} <= locked


def test_the_cuda_image_is_the_same_recipe_with_another_argument() -> None:
    assert RUNTIME_CUDA.arguments == ("PROVIDER=cuda",)
    assert (RUNTIME_CUDA.dockerfile, RUNTIME_CUDA.inputs) == (RUNTIME.dockerfile, RUNTIME.inputs)
    plain = replace(RUNTIME_CUDA, arguments=())
    assert input_key(plain, []) != input_key(RUNTIME_CUDA, [])
    text = (ROOT / RUNTIME.dockerfile).read_text()
    assert "\nARG PROVIDER=cpu\n" in text
    assert "requirements-${PROVIDER}.txt" in text
