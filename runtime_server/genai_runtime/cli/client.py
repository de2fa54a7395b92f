"""`genai-runtime chat`, `generate`, `requests` and `cancel`: a small gRPC client, for people, `helm test` and
demonstrations. Flags are `client_options.py`, what is printed is `client_output.py`."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as pb_grpc
from genai_runtime.cli.client_options import (
    ApiKey,
    Choices,
    Json,
    MaxTokens,
    More,
    RequestId,
    Seed,
    Target,
    Temperature,
    Timeout,
    TlsCa,
    TlsCert,
    TlsKey,
    TopK,
    TopP,
    Wait,
    generation_options,
    metadata_of,
    open_channel,
    wait_for,
)
from genai_runtime.cli.client_output import JsonPrinter, Printer, TextPrinter

_SECONDS = 10.0  # for calls that are answered at once


def chat(  # noqa: PLR0913 - a command's options
    question: Annotated[str, typer.Argument(help="What the user says; - reads it from stdin.")],
    target: Target = "127.0.0.1:9000",
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    system: Annotated[str, typer.Option(help="A system message before it.")] = "",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    choices: Choices = None,
    option: More = None,
    timeout: Timeout = None,
    wait: Wait = 0.0,
    request_id: RequestId = "",
    as_json: Json = False,
) -> None:
    """Ask the model; the answer is streamed."""
    messages = [pb.ChatMessage(role="system", content=system)] if system else []
    messages.append(pb.ChatMessage(role="user", content=_text(question)))
    given = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    options = generation_options(option, n=choices, **given)
    request = pb.ChatRequest(messages=messages, options=options, request_id=request_id)
    with open_channel(target, tls_ca, tls_cert, tls_key) as channel:
        wait_for(channel, target, wait)
        call = pb_grpc.GenAIServiceStub(channel).Chat(request, timeout=timeout, metadata=metadata_of(api_key))
        _stream(call, target, as_json=as_json)


def generate(  # noqa: PLR0913 - a command's options
    prompt: Annotated[str, typer.Argument(help="The text to continue; - reads it from stdin.")] = "",
    target: Target = "127.0.0.1:9000",
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    token_ids: Annotated[str, typer.Option(help="Token ids separated by commas, instead of a text.")] = "",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    choices: Choices = None,
    option: More = None,
    timeout: Timeout = None,
    wait: Wait = 0.0,
    request_id: RequestId = "",
    as_json: Json = False,
) -> None:
    """Continue a text; what follows is streamed."""
    given = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    options = generation_options(option, n=choices, **given)
    request = pb.GenerateRequest(options=options, request_id=request_id)
    if token_ids:
        request.token_ids.ids.extend(_ids(token_ids))
    else:
        request.prompt = _text(prompt)
    with open_channel(target, tls_ca, tls_cert, tls_key) as channel:
        wait_for(channel, target, wait)
        call = pb_grpc.GenAIServiceStub(channel).Generate(request, timeout=timeout, metadata=metadata_of(api_key))
        _stream(call, target, as_json=as_json)


def requests(
    target: Target = "127.0.0.1:9000",
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """List the requests that wait or run, one JSON object a line."""
    with open_channel(target, tls_ca, tls_cert, tls_key) as channel:
        stub = pb_grpc.GenAIServiceStub(channel)
        try:
            found = stub.ListRequests(pb.ListRequestsRequest(), timeout=_SECONDS, metadata=metadata_of(api_key))
        except grpc.RpcError as error:
            raise _failed(error, target) from error
    for info in found.requests:
        line = MessageToDict(info, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        line["stage"] = line["stage"].removeprefix("REQUEST_STAGE_").lower()
        print(json.dumps(line))


def cancel(
    request_id: Annotated[str, typer.Argument(help="As `requests` lists it.")],
    target: Target = "127.0.0.1:9000",
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """End a request that waits or runs."""
    with open_channel(target, tls_ca, tls_cert, tls_key) as channel:
        stub = pb_grpc.GenAIServiceStub(channel)
        try:
            stub.Cancel(pb.CancelRequest(request_id=request_id), timeout=_SECONDS, metadata=metadata_of(api_key))
        except grpc.RpcError as error:
            raise _failed(error, target) from error


def _stream(call: Iterator[pb.GenerateResponse], target: str, *, as_json: bool) -> None:
    """Print the stream; exits with 1 unless it ended with OK."""
    printer: Printer = JsonPrinter() if as_json else TextPrinter()
    printer.started()
    try:
        for response in call:
            printer.event(response)
    except grpc.RpcError as error:
        printer.ended(error.code().name, error.details() or "")
        raise _failed(error, target, silent=as_json) from error
    except KeyboardInterrupt:
        call.cancel()  # type: ignore[attr-defined]  # a call is an iterator, too
        raise
    printer.ended("OK", "")


def _failed(error: grpc.RpcError, target: str, *, silent: bool = False) -> typer.Exit:
    if not silent:
        print(f"genai-runtime: {target}: {error.code().name}: {error.details()}", file=sys.stderr)
    return typer.Exit(1)


def _text(argument: str) -> str:
    return sys.stdin.read() if argument == "-" else argument


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter("--token-ids takes numbers separated by commas") from error
