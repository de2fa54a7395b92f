"""What genai_config.json says of a model: its sizes, its tokens, its graphs; and whether that can be.

Options that it passes on to ONNX Runtime are `session_options.py`'s, the graphs themselves `graph_safety.py`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genai_runtime.models.defects import Code, Findings, Unusable, shown
from genai_runtime.models.limits import Limits
from genai_runtime.models.names import is_inside

CONFIG_FILE = "genai_config.json"

# Of ONNX Runtime GenAI 0.18; a test asks the library for each of them.
TYPES = frozenset(
    {
        *("chatglm", "decoder", "ernie4_5", "gemma", "gemma2", "gemma3_text", "gemma4_text", "gpt2", "gptoss"),
        *("granite", "granitemoehybrid", "hunyuandensev1", "internlm2", "lfm2", "lfm2_moe", "llama", "mistral"),
        *("nemotron", "olmo", "phi", "phi3", "phi3small", "phimoe", "qwen2", "qwen3", "qwen3_5_text", "smollm3"),
        *("gemma3_vl_text", "lfm2_audio_text", "lfm2_vl_text", "mistral3_text", "qwen2_5_vl_text", "qwen3_vl_text"),
        *("qwen3_5_moe_text", "fara", "gemma3", "gemma4", "gemma4_unified", "lfm2_audio", "lfm2_vl", "mistral3"),
        *("phi3v", "phi4mm", "qwen2_5_vl", "qwen3_5", "qwen3_5_moe", "qwen3_vl", "videochat_flash_qwen"),
        *("whisper", "nemotron_speech", "marian-ssru", "decoder-pipeline"),
    }
)

_INT32 = 1 << 31
# What the engines read from `search`, and what it may be: (lowest, highest).
_SEARCH = {
    "temperature": (0.0, 1000.0),
    "top_p": (0.0, 1.0),
    "repetition_penalty": (0.0, 1000.0),
    "length_penalty": (-1000.0, 1000.0),
    "diversity_penalty": (-1000.0, 1000.0),
    "top_k": (0, _INT32 - 1),
    "min_length": (0, _INT32 - 1),
    "max_length": (0, _INT32 - 1),
    "num_beams": (1, 32),
    "num_return_sequences": (1, 32),
    "batch_size": (1, 32),
    "no_repeat_ngram_size": (0, _INT32 - 1),
}
_DECODER_SIZES = ("head_size", "hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads")
_LARGEST_SIZE = 1 << 20
_TOKENS = ("bos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is told of a model without looking at its graph."""

    architecture: str
    context_length: int
    vocabulary_size: int
    decoder_filename: str
    eos_token_ids: list[int]
    pad_token_id: int


def read_facts(config: dict[str, Any], limits: Limits) -> ModelFacts:
    """Raises `Unusable` for the first thing that is missing or impossible."""
    model = _object(config, "model")
    decoder = _object(model, "decoder")
    architecture = _text(model, "model.type", "type")
    if architecture not in TYPES:
        raise Unusable(
            Code.TYPE_UNKNOWN, f"{CONFIG_FILE}: model.type is {shown(architecture)}, which GenAI does not know"
        )
    vocabulary_size = _size(model.get("vocab_size"), "model.vocab_size", limits.vocabulary)
    return ModelFacts(
        architecture=architecture,
        context_length=_size(model.get("context_length"), "model.context_length", limits.context_length),
        vocabulary_size=vocabulary_size,
        decoder_filename=_text(decoder, "model.decoder.filename", "filename"),
        eos_token_ids=_eos(model, vocabulary_size),
        pad_token_id=_whole(model.get("pad_token_id", 0), "model.pad_token_id"),
    )


def check_values(config: dict[str, Any], facts: ModelFacts, findings: Findings) -> None:
    """The numbers that are not needed to describe the model, but that an engine reads."""
    model = config["model"]
    for key in _TOKENS:
        found = model.get(key)
        if found is not None and not -1 <= _whole(found, f"model.{key}") < facts.vocabulary_size:
            said = f"{CONFIG_FILE}: model.{key} {found} is not in the vocabulary of {facts.vocabulary_size}"
            findings.add(Code.TOKEN_OUTSIDE_VOCABULARY, said)
    for key in _DECODER_SIZES:
        if key in model["decoder"]:
            _size(model["decoder"][key], f"model.decoder.{key}", _LARGEST_SIZE)
    search = config.get("search", {})
    if not isinstance(search, dict):
        raise Unusable(Code.CONFIG_VALUE, f"{CONFIG_FILE}: search is not an object")
    for key, (low, high) in _SEARCH.items():
        found = search.get(key)
        if found is not None and (type(found) not in (int, float) or not low <= found <= high):
            said = f"{CONFIG_FILE}: search.{key} is {shown(found)}, and must be a number from {low} to {high}"
            findings.add(Code.CONFIG_VALUE, said)


def named_files(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, file) of each file that is named anywhere in it. Raises `Unusable` for one that is not a text."""
    for where, key, value in walk(config):
        if key == "filename" or key.endswith("_filename"):
            if not isinstance(value, str):
                raise Unusable(Code.CONFIG_VALUE, f"{CONFIG_FILE}: {where} is not a text")
            if value:
                yield where, value


def check_inside(name: str, named_by: str, code: Code = Code.FILE_OUTSIDE) -> None:
    """Raises `Unusable` if a name, by its spelling, is none of a file inside the folder."""
    if not is_inside(name):
        raise Unusable(code, f"{named_by} names the file {shown(name)}, which is not inside the model folder")


def walk(value: Any, where: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, key, value) of everything in it that is not an object or a list; its depth has been bounded."""
    if isinstance(value, dict):
        for name, inside in value.items():
            yield from walk(inside, f"{where}.{name}" if where else name, name)
    elif isinstance(value, list):
        for number, inside in enumerate(value):
            yield from walk(inside, f"{where}[{number}]", key)
    else:
        yield where, key, value


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise Unusable(Code.CONFIG_INCOMPLETE, f'{CONFIG_FILE} has no object "{key}"; is it a GenAI model?')
    return value


def _text(parent: dict[str, Any], where: str, key: str) -> str:
    value = parent.get(key)
    if not isinstance(value, str) or not value:
        raise Unusable(Code.CONFIG_INCOMPLETE, f"{CONFIG_FILE}: {where} is missing")
    return value


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_INT32 <= value < _INT32:
        raise Unusable(Code.CONFIG_VALUE, f"{CONFIG_FILE}: {where} must be a whole number")
    return value


def _size(value: Any, where: str, largest: int) -> int:
    if value is None:
        raise Unusable(Code.CONFIG_INCOMPLETE, f"{CONFIG_FILE}: {where} is missing")
    size = _whole(value, where)
    if not 0 < size <= largest:
        raise Unusable(
            Code.CONFIG_VALUE, f"{CONFIG_FILE}: {where} is {size}; it must be above 0, and at most {largest}"
        )
    return size


def _eos(model: dict[str, Any], vocabulary_size: int) -> list[int]:
    written = model.get("eos_token_id", [])
    ids = [_whole(each, "model.eos_token_id") for each in (written if isinstance(written, list) else [written])]
    for each in ids:
        if not 0 <= each < vocabulary_size:
            said = f"{CONFIG_FILE}: model.eos_token_id {each} is not in the vocabulary of {vocabulary_size}"
            raise Unusable(Code.TOKEN_OUTSIDE_VOCABULARY, said)
    return ids
