"""`genai-runtime fetch`: the init container that brings a model into the cache. What it does is `fetch`.

Its result is one line of JSON on stdout and in the termination log: `{"digest", "bytes", "files", "cached",
"revision"}`. Failing, it leaves `{"reason", "message"}` there, a reason of docs/status.md.
"""

import os
import re
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer

from genai_runtime.cli import result_line
from genai_runtime.errors import InvalidSettings, ModelUnusable, RuntimeServerError
from genai_runtime.fetch.access import Access, read_secrets
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.fetching import Fetched, Fetching, Wanted
from genai_runtime.fetch.link import link_to
from genai_runtime.fetch.patience import Patience
from genai_runtime.fetch.progress import Progress
from genai_runtime.fetch.progress_service import ControlPort, served
from genai_runtime.fetch.source import Nowhere, Source
from genai_runtime.fetch.sources import key_of, source_of
from genai_runtime.fetch.uri import parse_endpoint
from genai_runtime.front import logs
from genai_runtime.models.genai_config import CONFIG_FILE
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.limits import Rules

_SHA256 = re.compile(r"([0-9a-f]{64})?")
_REGION = re.compile(r"[a-z0-9-]{0,40}")
_OFFLINE = ("1", "ON", "YES", "TRUE")
_log = structlog.get_logger("genai_runtime.fetch")


def fetch(  # noqa: PLR0913 - each is a flag
    uri: Annotated[str, typer.Option(help="hf://…, s3://…, gs://…, https://… or oci://… (docs/model-sources.md).")],
    cache: Annotated[Path, typer.Option(help="Folder of the cache; made where it is missing.")],
    link: Annotated[Path | None, typer.Option(help="Made a symbolic link to the model's folder.")] = None,
    sha256: Annotated[str, typer.Option(metavar="HEX", help="The digest that the folder must have.")] = "",
    endpoint: Annotated[str, typer.Option(metavar="URL", help="Another server of the source's protocol.")] = "",
    region: Annotated[str, typer.Option(help="The bucket's; empty: us-east-1.")] = "",
    secret_dir: Annotated[Path | None, typer.Option(help="Folder with a credential a file.")] = None,
    max_bytes: Annotated[int, typer.Option(min=0, help="The largest folder; 0: as the disk has room.")] = 0,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only what the cache has; also by HF_HUB_OFFLINE=1.")
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the source what a branch or tag is now.")] = False,
    all_files: Annotated[
        bool, typer.Option("--all-files", help="Also what GenAI does not read; the folder need not be its model.")
    ] = False,
    retry_seconds: Annotated[float, typer.Option(min=0, help="How long to go on without a byte.")] = 300.0,
    host: Annotated[str, typer.Option(help="Address of the control port.")] = "0.0.0.0",
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Tells the operator how far it is; 0: off.")] = 0,
    control_tls_dir: Annotated[Path, typer.Option(help="Its tls.crt, tls.key and ca.crt.")] = Path(
        "/etc/genai/control-tls"
    ),
    control_client_name: Annotated[str, typer.Option(help="The common name that may ask.")] = "genai-operator",
) -> None:
    """Bring a model into the cache, whole and checked, and link to it."""
    logs.configure("info")
    signal.signal(signal.SIGTERM, _stop)  # the first process of a container has no default for it
    try:
        offline = offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in _OFFLINE
        if offline and refresh:
            raise InvalidSettings("--refresh asks the source, and offline nothing is asked: leave one of them away")
        access = Access(parse_endpoint(endpoint), _checked(_REGION, region, "--region"), read_secrets(secret_dir))
        wanted = Wanted(
            key_of(uri, access, all_files=all_files),
            uri,
            access.endpoint,
            _checked(_SHA256, sha256, "--sha256"),
            max_bytes,
            offline,
            refresh,
            needs="" if all_files else CONFIG_FILE,
        )
        control = ControlPort(host, control_port, control_tls_dir, control_client_name) if control_port else None
        progress, patience = Progress(), Patience(uri, retry_seconds)
        inspect = _not_inspected if all_files else _inspected
        fetching = Fetching(wanted, Cache(cache), progress, patience, inspect)
        # By its digest and offline it is in the cache or nowhere, whatever it was made of.
        source = Nowhere() if offline and sha256 else source_of(uri, access, all_files=all_files)
        found = _carry_out(fetching, source, link, (progress, control))
    except RuntimeServerError as error:
        logs.last_words(_reason(error), error.message)
        _log.error("not fetched", reason=_reason(error), error=error.message)
        raise
    _log.info("the model is in the cache", folder=str(found.folder), cached=found.cached, revision=found.revision)
    told = {"digest": found.digest, "bytes": found.bytes, "files": found.files}
    result_line.tell(told | {"cached": found.cached, "revision": found.revision})


def _carry_out(
    fetching: Fetching, source: Source, link: Path | None, followed: tuple[Progress, ControlPort | None]
) -> Fetched:
    progress, control = followed
    with closing(source), served(progress, control):
        try:
            found = fetching.fetch(source)
            if link is not None:
                link_to(found.folder, link)
        except RuntimeServerError as error:
            progress.failed(_reason(error), error.message)
            raise
    return found


def _stop(*_: Any) -> NoReturn:
    """What was fetched so far stays, and is taken up again."""
    sys.exit(143)


def _inspected(folder: Path) -> None:
    """As the server will, but for what is the user's choice in the server's own settings."""
    inspect_model(folder, Rules(custom_operators=True))


def _not_inspected(folder: Path) -> None:
    del folder


def _checked(pattern: re.Pattern[str], value: str, option: str) -> str:
    if pattern.fullmatch(value) is None:
        raise InvalidSettings(f"{option} {value[:80]!r} does not have the form {pattern.pattern}")
    return value


def _reason(error: RuntimeServerError) -> str:
    return error.reason if isinstance(error, ModelUnusable) else "InvalidSpec"
