"""What a model folder is, and whether it can be served, before an engine opens it.

Cheap and without ONNX Runtime: only what gives a clearer reason than the engine's own. Whether the graph runs is the
engine's to find out.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.external_data import external_data
from genai_runtime.models.onnx_wire import NotOnnx

CONFIG_FILE = "genai_config.json"
TOKENIZER_FILE = "tokenizer.json"
_MAX_JSON_BYTES = 256 * 1024 * 1024  # tokenizers of large vocabularies are tens of megabytes


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """A model folder that looks complete. `size_bytes`: the graph and its weights."""

    folder: Path
    architecture: str
    context_length: int
    vocabulary_size: int
    decoder_filename: str
    eos_token_ids: list[int]
    pad_token_id: int
    size_bytes: int


def inspect_model(folder: Path) -> InspectedModel:
    """Look at `folder`. Raises `ModelUnusable` with ModelNotFound or ModelInvalid and the file it is about."""
    if not folder.exists():
        raise ModelUnusable("ModelNotFound", f"the model folder {folder} does not exist; check the model's source")
    if not folder.is_dir():
        raise ModelUnusable("ModelInvalid", f"{folder} is not a folder; a model is a folder with {CONFIG_FILE}")
    model = _object(_read_json(folder, CONFIG_FILE), "model", CONFIG_FILE)
    decoder = _object(model, "decoder", CONFIG_FILE)
    vocabulary_size = _positive(model, "vocab_size")
    found = InspectedModel(
        folder=folder,
        architecture=_text(model, "model.type", "type"),
        context_length=_positive(model, "context_length"),
        vocabulary_size=vocabulary_size,
        decoder_filename=_text(decoder, "model.decoder.filename", "filename"),
        eos_token_ids=_eos(model, vocabulary_size),
        pad_token_id=_whole(model.get("pad_token_id", 0), "model.pad_token_id"),
        size_bytes=0,
    )
    if not isinstance(_read_json(folder, TOKENIZER_FILE), dict):
        raise _invalid(f"{TOKENIZER_FILE} is not a JSON object")
    return dataclasses.replace(found, size_bytes=_weights_size(folder, found.decoder_filename))


def _weights_size(folder: Path, filename: str) -> int:
    graph = _inside(folder, filename, f"{CONFIG_FILE} (model.decoder.filename)")
    size = graph.stat().st_size
    try:
        others = external_data(graph)
    except NotOnnx as error:
        raise _invalid(f"{filename}: {error}") from None
    except OSError as error:
        raise _invalid(f"{filename} cannot be read: {error.strerror}") from None
    for each in others:
        path = _inside(folder, each.location, filename, graph.parent)
        there = path.stat().st_size
        if there < each.end:
            raise _invalid(f"{each.location} is cut off: {there} bytes, but {filename} needs {each.end}; copy it again")
        size += there
    return size


def _inside(folder: Path, name: str, named_by: str, base: Path | None = None) -> Path:
    """The file `name` beside the file that names it. Raises `ModelUnusable` if it is missing or outside `folder`."""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name or "\\" in name:
        raise _invalid(f"{named_by} names the file {name!r}, which is not inside the model folder")
    path = (base or folder) / relative
    if not path.is_file():
        raise _invalid(f"{name} is missing in {folder}; {named_by} names it")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _invalid(f"{name} is a link out of the model folder {folder}; put the file itself there")
    return path


def _read_json(folder: Path, name: str) -> Any:
    path = _inside(folder, name, "every model folder")
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise _invalid(f"{name} is larger than {_MAX_JSON_BYTES >> 20} MiB")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise _invalid(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{name} is not valid JSON: {error}") from None


def _object(parent: Any, key: str, name: str) -> dict[str, Any]:
    value = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(value, dict):
        raise _invalid(f'{name} has no object "{key}"; is it a GenAI model?')
    return value


def _text(parent: dict[str, Any], shown: str, key: str) -> str:
    value = parent.get(key)
    if not isinstance(value, str) or not value:
        raise _invalid(f"{CONFIG_FILE}: {shown} is missing")
    return value


def _whole(value: Any, shown: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(f"{CONFIG_FILE}: {shown} must be a whole number")
    return value


def _positive(model: dict[str, Any], key: str) -> int:
    value = _whole(model.get(key), f"model.{key}")
    if value <= 0:
        raise _invalid(f"{CONFIG_FILE}: model.{key} must be above 0")
    return value


def _eos(model: dict[str, Any], vocabulary_size: int) -> list[int]:
    written = model.get("eos_token_id", [])
    ids = [_whole(each, "model.eos_token_id") for each in (written if isinstance(written, list) else [written])]
    for each in ids:
        if not 0 <= each < vocabulary_size:
            raise _invalid(f"{CONFIG_FILE}: model.eos_token_id {each} is not in the vocabulary of {vocabulary_size}")
    return ids


def _invalid(message: str) -> ModelUnusable:
    return ModelUnusable("ModelInvalid", message)
