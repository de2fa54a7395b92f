"""`genai-builder build`: the container of a model's build Job. What it does is `building.py`'s.

Its result is one line of JSON on stdout and in the termination log: `{"digest", "bytes", "files", "cached", "builder",
"seconds", "quality"}`. Failing, it leaves `{"reason", "message"}` there, a reason of docs/status.md. Exit codes: 0
done, 1 failed, 2 wrong usage.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

# Programs that we start are others at once; gRPC would say on stderr, at each, that it does not follow the fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import structlog
import typer

from genai_builder.building import Building, Built
from genai_builder.evaluation import DEFAULT_MAX_TOKENS, evaluation_of
from genai_builder.request import request_of
from genai_runtime.errors import ModelUnusable, RuntimeServerError
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.link import link_to
from genai_runtime.fetch.progress import Progress
from genai_runtime.fetch.progress_service import ControlPort, served
from genai_runtime.front import logs

_MOST_TOKENS = 1_048_576
_log = structlog.get_logger("genai_builder")

app = typer.Typer(
    name="genai-builder",
    help="Make models for ONNX Runtime GenAI of Hugging Face folders, into a cache.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Make models for ONNX Runtime GenAI of Hugging Face folders, into a cache."""


@app.command()
def build(  # noqa: PLR0913 - each is a flag
    source: Annotated[Path, typer.Option(help="Folder with config.json, safetensors and tokenizer.json.")],
    cache: Annotated[Path, typer.Option(help="Folder of the cache; made where it is missing.")],
    provider: Annotated[str, typer.Option(help="What it is built for: cpu, cuda, trt-rtx, webgpu or dml.")],
    precision: Annotated[str, typer.Option(help="fp32, fp16, bf16, int8 or int4, as the provider has it.")],
    int4_block_size: Annotated[int | None, typer.Option(help="Weights a scale: 16 to 256; 32.")] = None,
    int4_accuracy_level: Annotated[int | None, typer.Option(help="0 as the provider likes, to 4 for int8; 4.")] = None,
    text: Annotated[Path | None, typer.Option(help="What quality is measured on; a text of the program's own.")] = None,
    max_tokens: Annotated[
        int, typer.Option(min=2, max=_MOST_TOKENS, help="Of the text's beginning.")
    ] = DEFAULT_MAX_TOKENS,
    link: Annotated[Path | None, typer.Option(help="Made a symbolic link to the built folder.")] = None,
    host: Annotated[str, typer.Option(help="Address of the control port.")] = "0.0.0.0",
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Tells the operator how far it is; 0: off.")] = 0,
    control_tls_dir: Annotated[Path, typer.Option(help="Its tls.crt, tls.key and ca.crt.")] = Path(
        "/etc/genai/control-tls"
    ),
    control_client_name: Annotated[str, typer.Option(help="The common name that may ask.")] = "genai-operator",
) -> None:
    """Build a model into the cache, checked and measured, and link to it; once for the same content."""
    logs.configure("info")
    signal.signal(signal.SIGTERM, _stop)  # the first process of a container has no default for it
    try:
        request = request_of(provider, precision, int4_block_size, int4_accuracy_level)
        progress = Progress()
        building = Building(request, evaluation_of(text, max_tokens), Cache(cache), progress)
        control = ControlPort(host, control_port, control_tls_dir, control_client_name) if control_port else None
        built = _carry_out(building, source, link, (progress, control))
    except RuntimeServerError as error:
        logs.last_words(_reason(error), error.message)
        _log.error("not built", reason=_reason(error), error=error.message)
        raise
    line = json.dumps(built.told())
    print(line, flush=True)
    try:
        logs.leave(line)  # the operator reads the result there
    except OSError as error:
        print(f"genai-builder: the termination log cannot be written: {error}", file=sys.stderr)


def _carry_out(
    building: Building, source: Path, link: Path | None, followed: tuple[Progress, ControlPort | None]
) -> Built:
    progress, control = followed
    with served(progress, control):
        try:
            built = building.build(source)
            if link is not None:
                link_to(built.folder, link)
        except RuntimeServerError as error:
            progress.failed(_reason(error), error.message)
            raise
    _log.info("the model is in the cache", folder=str(built.folder), cached=built.cached)
    return built


def _stop(*_: Any) -> NoReturn:
    """What goes on is ended with this process; what is in the cache stays."""
    sys.exit(143)


def _reason(error: RuntimeServerError) -> str:
    return error.reason if isinstance(error, ModelUnusable) else "InvalidSpec"


def main() -> None:
    """The program."""
    try:
        app()
    except RuntimeServerError as error:
        print(f"genai-builder: {error.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
