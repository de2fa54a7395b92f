"""The weights of a Hugging Face folder: which safetensors files there are, and that each is whole. No value is read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from genai_builder.errors import source_invalid
from genai_runtime.models.defects import Unusable, shown
from genai_runtime.models.folder import Folder
from genai_runtime.models.limits import Limits
from genai_runtime.models.strict_json import read_object

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_FLOATS = ("F64", "F32", "F16", "BF16")
_CONVERT = (
    "save it again as safetensors where you trust it "
    "(transformers: AutoModelForCausalLM.from_pretrained(SOURCE).save_pretrained(FOLDER))"
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored tensor; `dtype` as safetensors writes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def weight_files(folder: Folder, limits: Limits) -> list[str]:
    """Names of the files that transformers will read. Raises `ModelUnusable` where one is missing, or all."""
    names = sorted({*folder.files, *folder.links})
    if folder.find(SINGLE):
        return [SINGLE]
    if folder.find(INDEX):
        return _listed(folder, limits)
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        raise source_invalid(
            f"the weights are in {shown(pickles[0])} and no safetensors file: such files can run code when they are "
            f"opened, and are never opened here; {_CONVERT}"
        )
    if any(name.endswith(".gguf") for name in names):
        raise source_invalid(f"the weights are in a GGUF file: name a source that has {SINGLE}, or {INDEX}")
    if any(name.endswith(".onnx") for name in names):
        raise source_invalid("this is a model for ONNX Runtime already: leave model.build away to serve it as it is")
    raise source_invalid(f"there are no weights: neither {SINGLE} nor {INDEX}; name a folder that has them")


def read_tensors(folder: Path, names: list[str]) -> list[Tensor]:
    """Of all files, from their headers, which are held against the files' sizes. Raises `ModelUnusable`."""
    return [tensor for name in names for tensor in _tensors(folder / name, name)]


def check_floats(tensors: list[Tensor]) -> None:
    """A build starts from floats; what was quantised before cannot be quantised anew. Raises `ModelUnusable`."""
    for each in tensors:
        if each.dtype not in _FLOATS and len(each.shape) > 1 and "weight" in each.name:
            raise source_invalid(
                f"the tensor {shown(each.name)} is {shown(each.dtype)}: the weights are quantised already, and a build "
                "starts from floats; name the original model"
            )
    if not any(each.dtype in _FLOATS for each in tensors):
        raise source_invalid("none of the tensors holds floats; name the original model")


def _listed(folder: Folder, limits: Limits) -> list[str]:
    try:
        index = read_object(folder.path / INDEX, INDEX, limits, limits.json_bytes)
    except Unusable as unusable:
        raise source_invalid(unusable.defect.message) from None
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(e, str) for e in weight_map.values()):
        raise source_invalid(f"{INDEX} has no weight_map from tensors to files; copy the folder again")
    names = sorted(set(weight_map.values()))
    for name in names:
        if "/" in name or not name.endswith(".safetensors"):
            raise source_invalid(f"{INDEX} names {shown(name)}, which is no safetensors file beside it")
        if folder.find(name) is None:
            raise source_invalid(f"{shown(name)} is missing, and {INDEX} names it; copy the folder again, all of it")
    return names


def _tensors(path: Path, name: str) -> Iterator[Tensor]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            for tensor in file.keys():  # noqa: SIM118 - it is no mapping
                part = file.get_slice(tensor)
                yield Tensor(tensor, part.get_dtype(), tuple(part.get_shape()))
    except SafetensorError as error:
        raise source_invalid(
            f"{shown(name)} is no whole safetensors file ({error}); copy or download it again"
        ) from None
    except OSError as error:
        raise source_invalid(
            f"{shown(name)} cannot be read ({error.strerror or error}); let group or others read it (chmod -R a+rX)"
        ) from None
