"""The Hugging Face folder that is built of: what it has to have, looked at before a build costs anything.

Nothing of it is run, and only its text files are read. What its weights are is `weights.py`'s.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genai_builder.architectures import known_architectures
from genai_builder.errors import source_invalid, source_missing
from genai_builder.weights import Tensor, check_floats, read_tensors, weight_files
from genai_runtime.models.defects import Findings, TooManyDefects, Unusable, shown
from genai_runtime.models.folder import Folder, look_into
from genai_runtime.models.limits import DEFAULT, Limits
from genai_runtime.models.strict_json import read_object
from genai_runtime.models.tokenizer_files import TOKENIZER_FILE, check_tokenizer

CONFIG = "config.json"
GENERATION = "generation_config.json"
_TEXT = (".json", ".txt", ".jinja", ".model", ".tiktoken")
# What transformers would act on beside the model: an adapter is laid over it.
_NEVER = frozenset({"adapter_config.json", "genai_config.json"})


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that can be built of. `files`: the names that the builder may see."""

    folder: Path
    architecture: str
    layers: int
    vocabulary_size: int
    context_length: int
    tensors: tuple[Tensor, ...]
    files: tuple[str, ...]
    generation: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many numbers the model is."""
        return sum(each.elements for each in self.tensors)


def read_source(path: Path, limits: Limits = DEFAULT, architectures: frozenset[str] | None = None) -> Source:
    """Raises `ModelUnusable`: what is wrong, and what helps. `architectures`: None for those of the builder."""
    folder = _listed(path, limits)
    try:
        return _read(folder, limits, known_architectures() if architectures is None else architectures)
    except Unusable as unusable:
        raise source_invalid(f"the source's {unusable.defect.what}; {unusable.defect.remedy}") from None


def _listed(path: Path, limits: Limits) -> Folder:
    if not path.is_dir():
        raise source_missing(f"{path} is no folder; name the folder that {CONFIG} lies in")
    findings = Findings()
    with suppress(TooManyDefects):
        folder = look_into(path, limits, findings)
    if findings.defects:
        raise source_invalid(f"the source: {findings.defects[0].message}")
    return folder


def _read(folder: Folder, limits: Limits, architectures: frozenset[str]) -> Source:
    if folder.find(CONFIG) is None:
        raise source_invalid(
            f"there is no {CONFIG} in {folder.path}; name the folder of a Hugging Face model: {CONFIG}, safetensors, "
            "tokenizer"
        )
    config = _object(folder, CONFIG, limits)
    architecture = _architecture(config, architectures)
    names = weight_files(folder, limits)
    tensors = read_tensors(folder.path, names)
    if config.get("quantization_config"):
        raise source_invalid(
            f"{CONFIG} has a quantization_config: the weights are quantised already, and a build starts from floats; "
            "name the original model"
        )
    check_floats(tensors)
    text = config | (config["text_config"] if isinstance(config.get("text_config"), dict) else {})
    vocabulary = _number(text, "vocab_size")
    _check_tokenizer(folder, vocabulary, limits)
    generation = _object(folder, GENERATION, limits) if folder.find(GENERATION) else {}
    return Source(
        folder.path,
        architecture,
        _number(text, "num_hidden_layers"),
        vocabulary,
        _number(text, "max_position_embeddings"),
        tuple(tensors),
        tuple(sorted({*names, *_texts(folder)})),
        generation,
    )


def _architecture(config: dict[str, Any], known: frozenset[str]) -> str:
    found = config.get("architectures")
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise source_invalid(f"{CONFIG} does not say its architectures; copy it from the original model again")
    if found[0] not in known:
        raise source_invalid(
            f"{CONFIG} says the architecture {shown(found[0])}, which the model builder does not make; it makes "
            f"{', '.join(sorted(known))}"
        )
    return found[0]


def _check_tokenizer(folder: Folder, vocabulary: int, limits: Limits) -> None:
    if folder.find(TOKENIZER_FILE) is None:
        raise source_invalid(
            f"there is no {TOKENIZER_FILE} in the source; add it (transformers: "
            "AutoTokenizer.from_pretrained(SOURCE).save_pretrained(FOLDER) writes it)"
        )
    findings = Findings()
    content = read_object(folder.path / TOKENIZER_FILE, TOKENIZER_FILE, limits, limits.json_bytes)
    check_tokenizer(content, vocabulary, limits, findings)
    if findings.defects:
        raise source_invalid(f"the source: {findings.defects[0].message}")


def _texts(folder: Folder) -> list[str]:
    """Small files beside the weights. Code, pickles and adapters are not for the builder's eyes."""
    there = {*folder.files, *folder.links} - _NEVER
    return [name for name in there if "/" not in name and name.endswith(_TEXT) and folder.find(name)]


def _object(folder: Folder, name: str, limits: Limits) -> dict[str, Any]:
    return read_object(folder.path / name, name, limits, limits.json_bytes)


def _number(config: dict[str, Any], name: str) -> int:
    found = config.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise source_invalid(f"{CONFIG}: {name} is {shown(found)}, not a positive number; copy it again")
    return found
