"""Options of the commands that speak to a model's own HTTP port, and the connections they make."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from genai_kubectl.clients.forward import Access
from genai_kubectl.clients.kube import Object
from genai_kubectl.decisions.pods import speaks_http, tls_name
from genai_kubectl.errors import CommandFailed, WrongUsage

KEY_VARIABLE = "GENAI_API_KEY"


@dataclass(frozen=True)
class Credentials:
    """Keys and certificates; all may be left out where the model asks for none."""

    api_key_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the model's API key; {KEY_VARIABLE} if left out.", show_default=False),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(help="Authority of the model's certificate; the system's if left out.", show_default=False),
    ] = None
    cert: Annotated[Path | None, typer.Option(help="Client certificate, with --key.", show_default=False)] = None
    key: Annotated[Path | None, typer.Option(help="Key of the client certificate.", show_default=False)] = None
    server_name: Annotated[
        str, typer.Option(help="Name in the model's certificate; NAME.NAMESPACE.svc if left out.", show_default=False)
    ] = ""
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not check the model's certificate.")] = False


def access(model: Object, given: Credentials) -> Access:
    """How the model's pods are spoken to.

    Raises:
        CommandFailed: the model has no HTTP port, or a file cannot be read.
        WrongUsage: a certificate without its key.
    """
    name = model["metadata"]["name"]
    if not speaks_http(model):
        raise CommandFailed(f"{name!r} has no HTTP port: spec.server.protocols.http is false")
    if (given.cert is None) != (given.key is None):
        raise WrongUsage("--cert and --key go together")
    spoken = tls_name(model)
    if not spoken and (given.ca or given.cert or given.server_name or given.insecure):
        raise WrongUsage(f"{name!r} speaks plain HTTP (spec.server.tls is not set): certificates mean nothing to it")
    return Access(
        server_name=(given.server_name or spoken) if spoken else "",
        authority=given.ca,
        certificate=given.cert,
        key=given.key,
        verify=not given.insecure,
        api_key=_api_key(given.api_key_file),
    )


def _api_key(path: Path | None) -> str:
    if path is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read the API key: {error}") from None
    if not key or "\n" in key:
        raise CommandFailed(f"{path} must hold one API key, on one line")
    return key
