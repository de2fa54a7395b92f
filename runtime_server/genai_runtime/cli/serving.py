"""`genai-runtime serve` and `check`: which model is meant, and how a refusal is told. The server itself is `launch`."""

import re
from pathlib import Path
from typing import Annotated

import structlog
import typer

from genai_runtime.errors import InvalidSettings, ModelUnusable, RuntimeServerError
from genai_runtime.front import logs
from genai_runtime.front.chat import ChatTemplate
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.models.inspect import find_defects, inspect_model
from genai_runtime.models.limits import Rules
from genai_runtime.settings import Settings, load_settings, unknown_variables

_BUILTIN = re.compile(r"builtin://([a-z0-9][a-z0-9-]{0,62})")
_BUILTIN_FOLDER = Path("/opt/genai/models")
_log = structlog.get_logger("genai_runtime")

ModelArgument = Annotated[
    str, typer.Argument(metavar="[DIR|builtin://NAME]", help="The model folder; GENAI_MODEL_DIR if it is left out.")
]


def serve(
    model: ModelArgument = "",
    host: Annotated[str | None, typer.Option(help="Address to listen on (GENAI_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port, 0 for any (GENAI_GRPC_PORT).")] = None,
    http_port: Annotated[int | None, typer.Option(help="HTTP port, 0 is off (GENAI_HTTP_PORT).")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Metrics port, 0 is off (GENAI_METRICS_PORT).")] = None,
) -> None:
    """Serve a model until SIGTERM; every other setting is a GENAI_* variable (docs/serving.md)."""
    try:
        settings = load_settings(host=host, grpc_port=port, http_port=http_port, metrics_port=metrics_port)
        logs.configure(settings.log_level)
        for name in unknown_variables():
            _log.warning("this variable is not a setting; is it misspelt?", variable=name)
        folder, name = locate(model or settings.model_dir)
        inspect_model(folder, inspection_rules(settings))
        from genai_runtime.cli import launch  # takes a second to import, which nothing before needs

        launch.serve(settings, folder, name)
    except RuntimeServerError as error:
        logs.last_words(reason_of(error), error.message)
        _log.error("cannot serve", reason=reason_of(error), error=error.message)
        raise


def check(
    models: Annotated[list[str], typer.Argument(metavar="DIR...", help="Model folders.")],
    provider: Annotated[str | None, typer.Option(help="What they would run on (GENAI_DEVICE).")] = None,
) -> None:
    """Say what is wrong with model folders, each defect with its remedy; no engine is started. Fails if anything is."""
    rules = inspection_rules(load_settings(device=provider))
    if [model for model in models if not _usable(model, rules)]:
        raise typer.Exit(1)


def _usable(model: str, rules: Rules) -> bool:
    """Prints what was found."""
    try:
        folder, _ = locate(model)
        found, defects = find_defects(folder, rules)
        if found is not None and not defects:
            TextTokenizer.from_folder(folder)
            ChatTemplate.from_folder(folder)
    except ModelUnusable as error:
        print(f"{model}: {error.message}")
        return False
    for defect in defects:
        print(f"{folder}: {defect.message}")
    if found is None or defects:
        return False
    size = f"{found.size_bytes >> 20} MiB"
    print(f"{folder}: {found.architecture}, context {found.context_length} tokens, {size}: usable")
    return True


def inspection_rules(settings: Settings) -> Rules:
    """What a folder must be for a server with these settings."""
    fallback = settings.provider_fallback == "allow"
    return Rules(
        provider=settings.device,
        on_cpu=settings.device == "cpu" or fallback,
        custom_operators=settings.custom_operators == "allow",
    )


def locate(model: str) -> tuple[Path, str]:
    """(folder, name) of what is written on a command line. Raises `InvalidSettings` or `ModelUnusable`."""
    if not model:
        raise InvalidSettings("which model? Give its folder or builtin://NAME, or set GENAI_MODEL_DIR")
    if "://" not in model:
        folder = Path(model)
        return folder, folder.resolve().name
    match = _BUILTIN.fullmatch(model)
    if match is None:
        raise InvalidSettings(f"{model!r} is neither a folder nor builtin://NAME; other sources are fetched before")
    folder = _BUILTIN_FOLDER / match[1]
    if not folder.is_dir():
        raise ModelUnusable("ModelNotFound", f"this image carries no model {match[1]!r}: {folder} does not exist")
    return folder, match[1]


def reason_of(error: RuntimeServerError) -> str:
    """One of the condition reasons of docs/status.md."""
    if isinstance(error, ModelUnusable):
        return error.reason
    return "InvalidSpec" if isinstance(error, InvalidSettings) else "CrashLoopBackOff"
