"""Triton's configuration as a GenAIModel: which module carries which field. Pure; texts come in and go out elsewhere.

No field is passed over in silence: what a configuration says becomes a field, or a note with the reason.
"""

import re
from dataclasses import dataclass, field

from pydantic import ValidationError

from genai_operator.api.genaimodel import explain
from genai_operator.api.names import MAX_NAME_LENGTH, NAME_EXPLANATION, usable_name
from genai_operator.convert.backend import Backend, carry_backend
from genai_operator.convert.draft import Draft, shown
from genai_operator.convert.errors import CannotConvert
from genai_operator.convert.folder import ModelFolder, model_uri
from genai_operator.convert.instances import carry_instances
from genai_operator.convert.leftovers import carry_leftovers
from genai_operator.convert.optimization import carry_optimization, carry_parameters
from genai_operator.convert.parse import ParsedConfig
from genai_operator.convert.provider import carry_provider
from genai_operator.convert.scheduling import carry_batch_size, carry_scheduling

_BACKENDS = ("onnxruntime",)
_PLATFORMS = ("onnxruntime_onnx",)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line adds: `name` and `uri` empty where they were not given."""

    name: str = ""
    uri: str = ""
    backend: Backend = field(default_factory=Backend)


@dataclass(frozen=True, slots=True)
class Converted:
    """A model under the name it shall have."""

    name: str
    draft: Draft


def convert(config: ParsedConfig, folder: ModelFolder, wanted: Wanted) -> Converted:
    """The GenAIModel of a configuration. What it has no field for is in the draft's notes.

    Raises:
        CannotConvert: it is not a model of the ONNX Runtime backend, has no name, or the URI is none.
    """
    message = config.message
    _check_backend(folder, message.backend, message.platform, ensemble=message.HasField("ensemble_scheduling"))
    said = message.name or folder.name
    name = wanted.name or _usable(said)
    if not usable_name(name):
        words = f"{shown(name)} cannot be its name" if name else "it has no name"
        raise CannotConvert(f"{folder.origin}: {words}: {NAME_EXPLANATION}. Give one with --name.")
    uri, assumed = model_uri(folder, name, message, wanted.uri)
    try:
        draft = Draft(uri)
    except ValidationError as error:
        raise CannotConvert(f"{folder.origin}: --model-uri {shown(uri)}: {explain(error)}") from error
    if said and name != said:
        draft.check("metadata.name", f"in Triton it was {shown(said)}; clients that name their model must name it so")
    for words in assumed:
        draft.check("spec.model.uri", words)
    carry_provider(draft, message)
    carry_instances(draft, message)
    carry_batch_size(draft, message, wanted.backend.default_max_batch_size)
    carry_scheduling(draft, message)
    carry_optimization(draft, message.optimization)
    carry_parameters(draft, message, wanted.backend)
    carry_backend(draft, wanted.backend)
    carry_leftovers(draft, message)
    for path in config.unknown:
        draft.lose(path, "Triton's model configuration is not known to have such a field")
    return Converted(name, draft)


def _check_backend(folder: ModelFolder, backend: str, platform: str, *, ensemble: bool) -> None:
    if ensemble or platform == "ensemble":
        raise CannotConvert(f"{folder.origin}: an ensemble is a pipeline of models; only its models can be converted")
    for key, value, known in (("backend", backend, _BACKENDS), ("platform", platform, _PLATFORMS)):
        if value and value not in known:
            raise CannotConvert(
                f"{folder.origin}: {key} is {shown(value)}; only models of the backend {known[0]} can be converted"
            )


def _usable(name: str) -> str:
    """The name in the letters that Kubernetes allows; empty where nothing of it is left."""
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    return letters[:MAX_NAME_LENGTH].rstrip("-")
