"""The client's flags, and what they make: a channel, metadata with the API key, generation options.

Frequent options have flags of their own; every field of GenerationOptions can be given as NAME=VALUE.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import ParseDict, ParseError

from genai_protocol.v1 import inference_pb2 as pb

Target = Annotated[str, typer.Option(help="HOST:PORT of the server.", envvar="GENAI_TARGET")]
ApiKey = Annotated[str, typer.Option(help="A key of this server.", envvar="GENAI_API_KEY", show_envvar=True)]
TlsCa = Annotated[Path | None, typer.Option(help="The authority's certificate of a server that speaks TLS.")]
TlsCert = Annotated[Path | None, typer.Option(help="A client certificate, with --tls-key, where one is asked for.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key.")]
MaxTokens = Annotated[int | None, typer.Option(help="New tokens at most.")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.")]
TopK = Annotated[int | None, typer.Option(help="0 is off.")]
TopP = Annotated[float | None, typer.Option(help="1 is off.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same tokens.")]
Choices = Annotated[int | None, typer.Option("-n", help="Answers to the same input.")]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="Any other option, such as min_p=0.1, stop=END (may be repeated), logprobs=2, adapter=NAME, "
        "regex=[0-9]+ or json_schema=@FILE.",
    ),
]
Timeout = Annotated[float | None, typer.Option(help="The request's deadline in seconds.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the server to be reachable.")]
RequestId = Annotated[str, typer.Option(help="Shown in the server's log and in profiles.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line for each event.")]

_GUIDANCE = tuple(field.name for field in pb.Guidance.DESCRIPTOR.fields)
_FIELDS = pb.GenerationOptions.DESCRIPTOR.fields_by_name


def open_channel(target: str, authority: Path | None, certificate: Path | None, key: Path | None) -> grpc.Channel:
    """Plain text without an authority."""
    if authority is None:
        if certificate is not None or key is not None:
            raise typer.BadParameter("--tls-cert and --tls-key need --tls-ca")
        return grpc.insecure_channel(target)
    files = [None if path is None else _read(path) for path in (authority, key, certificate)]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*files))


def metadata_of(api_key: str) -> list[tuple[str, str]]:
    """What every call carries."""
    return [("authorization", f"Bearer {api_key}")] if api_key else []


def wait_for(channel: grpc.Channel, target: str, seconds: float) -> None:
    """Exits with 1 if nothing answers in time."""
    if seconds <= 0:
        return
    try:
        grpc.channel_ready_future(channel).result(timeout=seconds)
    except grpc.FutureTimeoutError as error:
        print(f"genai-runtime: nothing answers at {target} within {seconds:g} s", file=sys.stderr)
        raise typer.Exit(1) from error


def generation_options(more: list[str] | None, **given: float | None) -> pb.GenerationOptions:
    """Flags first, then NAME=VALUE. Wrong names and values are wrong usage."""
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        options = pb.GenerationOptions(**fields)
        for pair in more or ():
            _add(options, pair)
    except ValueError as error:
        raise typer.BadParameter(f"an option is out of its type's range: {error}") from error
    return options


def _add(options: pb.GenerationOptions, pair: str) -> None:
    name, found, text = pair.partition("=")
    if not found or name not in (*_FIELDS, *_GUIDANCE) or name == "guidance":
        known = ", ".join(sorted([*(name for name in _FIELDS if name != "guidance"), *_GUIDANCE]))
        raise typer.BadParameter(f"{pair!r:.100} is not NAME=VALUE with one of the names {known}")
    if text.startswith("@"):
        text = _read(Path(text[1:])).decode()
    field = pb.Guidance.DESCRIPTOR.fields_by_name[name] if name in _GUIDANCE else _FIELDS[name]
    value = text if field.type == field.TYPE_STRING else _json(name, text)
    if name in _GUIDANCE:
        content: dict[str, Any] = {"guidance": {name: value}}
    elif field.is_repeated and not isinstance(value, (list, dict)):
        content = {name: [value]}
    else:
        content = {name: value}
    try:
        options.MergeFrom(ParseDict(content, pb.GenerationOptions()))  # lists grow, all else is replaced
    except ParseError as error:
        raise typer.BadParameter(f"{name}: {error}") from error


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{name}: {text!r:.60} is no value of this option") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error
