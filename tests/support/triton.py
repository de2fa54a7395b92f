"""Conversions of Triton's configurations, for tests: from text to the document and what it says."""

import re
from pathlib import Path
from typing import Any

import yaml

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.convert.backend import read_backend
from genai_operator.convert.command import converted
from genai_operator.convert.document import document
from genai_operator.convert.folder import ModelFolder
from genai_operator.convert.mapping import Wanted, convert
from genai_operator.convert.parse import parse_config

REPOSITORY = Path(__file__).parents[1] / "data" / "triton" / "repository"


def printed(text: str | bytes, *backend: str, name: str = "m") -> str:
    """The document for a configuration; `backend` are values of --backend-config."""
    content = text.encode() if isinstance(text, str) else text
    folder = ModelFolder("config.pbtxt")
    model = convert(parse_config(content, folder.origin), folder, Wanted(name=name, backend=read_backend(backend)))
    return document(model.name, folder.origin, model.draft)


def documents(text: str) -> list[dict[str, Any]]:
    """The documents in what was printed, each of which is a GenAIModel."""
    found = [each for each in yaml.safe_load_all(text) if each is not None]
    for each in found:
        GenAIModel.from_body({**each, "metadata": {**each["metadata"], "namespace": "demo"}})
    return found


def spec_of(text: str | bytes, *backend: str) -> dict[str, Any]:
    """The spec for a configuration, but for the model's URI."""
    (found,) = documents(printed(text, *backend))
    return {key: value for key, value in found["spec"].items() if key != "model"}


def notes_of(printed_text: str) -> str:
    """The comments, unfolded: each note on a line of its own."""
    comments = [line for line in printed_text.splitlines() if line.startswith("#")]
    return re.sub(r"\n#\s{4,}", " ", "\n".join(comments))


def whole(path: Path | str, **wanted: Any) -> str:
    """What the command prints for a path."""
    return converted(str(path), Wanted(**wanted))
