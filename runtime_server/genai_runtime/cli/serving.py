"""`genai-runtime serve` and `check`: from a command line and an environment to a running server, or a clear refusal."""

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.errors import InvalidSettings, ModelUnusable, RuntimeServerError
from genai_runtime.front import logs
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.models.inspect import inspect_model
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
    metrics_port: Annotated[int | None, typer.Option(help="Metrics port, 0 is off (GENAI_METRICS_PORT).")] = None,
) -> None:
    """Serve a model until SIGTERM; every other setting is a GENAI_* variable (docs/serving.md)."""
    try:
        settings = load_settings(host=host, grpc_port=port, metrics_port=metrics_port)
        logs.configure(settings.log_level)
        for name in unknown_variables():
            _log.warning("this variable is not a setting; is it misspelt?", variable=name)
        asyncio.run(_serve(settings, model))
    except RuntimeServerError as error:
        logs.last_words(_reason(error), error.message)
        _log.error("cannot serve", reason=_reason(error), error=error.message)
        raise


def check(model: Annotated[str, typer.Argument(metavar="DIR", help="The model folder.")]) -> None:
    """Say whether a folder looks like a model that can be served; nothing is loaded."""
    folder, _ = locate(model)
    found = inspect_model(folder)
    print(
        f"{folder}: {found.architecture}, context {found.context_length} tokens, {found.size_bytes >> 20} MiB: usable"
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


async def _serve(settings: Settings, model: str) -> None:
    folder, name = locate(model or settings.model_dir)
    inspect_model(folder)
    spec = EngineSpec(
        model_dir=folder.resolve(),
        profile_dir=settings.profile_dir,
        provider=settings.device,
        intra_op_threads=settings.thread_count(),
        spinning=settings.spinning,
        graph_optimization_level=settings.graph_optimization_level,
        memory_arena=settings.memory_arena,
        memory_pattern=settings.memory_pattern,
        max_sequence_length=settings.max_length,
        max_concurrent=settings.max_concurrent_requests,
    )
    engine = EngineProcess(spec, settings.engine)
    profiles = ProfileRegistry(settings.profile_dir, engine)
    server = RuntimeServer(settings, folder, settings.model_name or name, engine, profiles)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.request_stop)
    if sys.stdout.isatty():
        addresses = server.addresses
        print(f"gRPC on {addresses['grpc']}; ask it: genai-runtime chat --target {addresses['grpc']} 'QUESTION'")
    await server.run()


def _reason(error: RuntimeServerError) -> str:
    """One of the condition reasons of docs/status.md."""
    if isinstance(error, ModelUnusable):
        return error.reason
    return "InvalidSpec" if isinstance(error, InvalidSettings) else "CrashLoopBackOff"
