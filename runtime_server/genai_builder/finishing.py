"""What the builder leaves to us: readable files, no trace of where it was built, the source's own sampling defaults."""

import json
from pathlib import Path
from typing import Any

from genai_builder.errors import build_failed
from genai_builder.request import BuildRequest
from genai_builder.source_folder import Source
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.genai_config import CONFIG_FILE
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.limits import Rules
from genai_runtime.models.precision import model_precision
from genai_runtime.models.tokenizer_files import TOKENIZER_CONFIG_FILE

_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty")
# How transformers came by the tokenizer: of no use, and different from machine to machine.
_TRACES = ("is_local", "local_files_only", "name_or_path", "_name_or_path", "_commit_hash", "cache_dir")


def finish(built: Path, source: Source, request: BuildRequest) -> None:
    """Make a served model's folder of what was built. Raises `ModelUnusable` where it would not be served."""
    try:
        _rewrite(built / CONFIG_FILE, lambda config: keep_sampling(config, source.generation))
        if (built / TOKENIZER_CONFIG_FILE).exists():
            _rewrite(built / TOKENIZER_CONFIG_FILE, without_traces)
        for path in sorted(built.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    except (OSError, ValueError) as error:
        raise build_failed(f"what the builder left cannot be finished: {error}") from None
    _check(built, request)


def keep_sampling(config: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    """genai_config.json with what generation_config.json says of sampling, where it says anything."""
    said = {name: generation[name] for name in _SAMPLING if generation.get(name) is not None}
    return config | {"search": config.get("search", {}) | said}


def without_traces(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json without the machine that it was written on."""
    return {name: value for name, value in tokenizer.items() if name not in _TRACES}


def _check(built: Path, request: BuildRequest) -> None:
    """As the server will look at it, which has the last word anyway: better now than in every pod."""
    try:
        model = inspect_model(built, Rules(provider=request.provider, on_cpu=request.provider == "cpu"))
    except ModelUnusable as error:
        raise build_failed(f"the model was built, but could not be served: {error.message}") from None
    found = model_precision(model)
    if found != request.precision:
        raise build_failed(
            f"the builder was asked for {request.precision}, but most of the built weights are {found or 'unknown'}; "
            "this architecture is not built in that precision: ask for another one"
        )


def _rewrite(path: Path, change: Any) -> None:
    content = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
