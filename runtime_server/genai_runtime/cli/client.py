"""`genai-runtime chat` and `generate`: a small gRPC client, for people, `helm test` and demonstrations.

Text goes to stdout as it comes; with --json every event is one JSON line, with the wall clock's milliseconds.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import grpc
import typer

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as pb_grpc

Target = Annotated[str, typer.Option(help="HOST:PORT of the server.", envvar="GENAI_TARGET")]
MaxTokens = Annotated[int | None, typer.Option(help="New tokens at most.")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.")]
TopK = Annotated[int | None, typer.Option(help="0 is off.")]
TopP = Annotated[float | None, typer.Option(help="1 is off.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same tokens.")]
Timeout = Annotated[float | None, typer.Option(help="The request's deadline in seconds.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the server to be reachable.")]
RequestId = Annotated[str, typer.Option(help="Shown in the server's log and in profiles.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line for each event.")]


def chat(  # noqa: PLR0913 - a command's options
    question: Annotated[str, typer.Argument(help="What the user says; - reads it from stdin.")],
    target: Target = "127.0.0.1:9000",
    system: Annotated[str, typer.Option(help="A system message before it.")] = "",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    timeout: Timeout = None,
    wait: Wait = 0.0,
    request_id: RequestId = "",
    as_json: Json = False,
) -> None:
    """Ask the model; the answer is streamed."""
    messages = [pb.ChatMessage(role="system", content=system)] if system else []
    messages.append(pb.ChatMessage(role="user", content=_text(question)))
    options = _options(max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    request = pb.ChatRequest(messages=messages, options=options, request_id=request_id)
    with grpc.insecure_channel(target) as channel:
        _wait(channel, target, wait)
        _stream(pb_grpc.GenAIServiceStub(channel).Chat(request, timeout=timeout), target, as_json=as_json)


def generate(  # noqa: PLR0913 - a command's options
    prompt: Annotated[str, typer.Argument(help="The text to continue; - reads it from stdin.")] = "",
    target: Target = "127.0.0.1:9000",
    token_ids: Annotated[str, typer.Option(help="Token ids separated by commas, instead of a text.")] = "",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    timeout: Timeout = None,
    wait: Wait = 0.0,
    request_id: RequestId = "",
    as_json: Json = False,
) -> None:
    """Continue a text; what follows is streamed."""
    options = _options(max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    request = pb.GenerateRequest(options=options, request_id=request_id)
    if token_ids:
        request.token_ids.ids.extend(_ids(token_ids))
    else:
        request.prompt = _text(prompt)
    with grpc.insecure_channel(target) as channel:
        _wait(channel, target, wait)
        _stream(pb_grpc.GenAIServiceStub(channel).Generate(request, timeout=timeout), target, as_json=as_json)


def _stream(call: Iterator[pb.GenerateResponse], target: str, *, as_json: bool) -> None:
    """Print the stream; exits with 1 unless it ended with OK."""
    printer = _JsonPrinter() if as_json else _TextPrinter()
    printer.started()
    try:
        for response in call:
            printer.event(response)
    except grpc.RpcError as error:
        printer.ended(error.code().name, error.details() or "")
        if not as_json:
            print(f"genai-runtime: {target}: {error.code().name}: {error.details()}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        call.cancel()  # type: ignore[attr-defined]  # a call is an iterator, too
        raise
    printer.ended("OK", "")


class _TextPrinter:
    """The text alone."""

    def started(self) -> None:
        """Nothing to say."""

    def event(self, response: pb.GenerateResponse) -> None:
        print(response.chunk.text, end="", flush=True)

    def ended(self, status: str, message: str) -> None:  # noqa: ARG002 - as the other printer
        print(flush=True)


class _JsonPrinter:
    """{"event": "start"}, chunks, "finish", and "end" with the whole text and the status."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._first_token_s: float | None = None
        self._text: list[str] = []
        self._ids: list[int] = []
        self._finish: dict[str, Any] | None = None

    def started(self) -> None:
        self._print("start")

    def event(self, response: pb.GenerateResponse) -> None:
        if response.HasField("finish"):
            self._finish = _finish(response)
            self._print("finish", **self._finish)
            return
        if self._first_token_s is None:
            self._first_token_s = round(time.monotonic() - self._begun, 6)
        self._text.append(response.chunk.text)
        self._ids += response.chunk.token_ids
        self._print("chunk", text=response.chunk.text, token_ids=list(response.chunk.token_ids))

    def ended(self, status: str, message: str) -> None:
        self._print(
            "end",
            status=status,
            message=message,
            text="".join(self._text),
            token_ids=self._ids,
            first_token_s=self._first_token_s,
            total_s=round(time.monotonic() - self._begun, 6),
            finish=self._finish,
        )

    def _print(self, event: str, **fields: object) -> None:
        line = {"event": event, "unix_ms": round(time.time() * 1000, 3), **fields}
        print(json.dumps(line, ensure_ascii=False), flush=True)


def _finish(response: pb.GenerateResponse) -> dict[str, Any]:
    finish = response.finish
    return {
        "request_id": response.request_id,
        "reason": pb.FinishReason.Name(finish.reason).removeprefix("FINISH_REASON_"),
        "message": finish.message,
        "prompt_tokens": finish.usage.prompt_tokens,
        "completion_tokens": finish.usage.completion_tokens,
        "queue_seconds": finish.timings.queue_seconds,
        "time_to_first_token_seconds": finish.timings.time_to_first_token_seconds,
        "total_seconds": finish.timings.total_seconds,
        "tokens_per_second": finish.timings.tokens_per_second,
    }


def _options(**given: float | None) -> pb.GenerationOptions:
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return pb.GenerationOptions(**fields)
    except ValueError as error:
        raise typer.BadParameter(f"an option is out of its type's range: {error}") from error


def _wait(channel: grpc.Channel, target: str, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        grpc.channel_ready_future(channel).result(timeout=seconds)
    except grpc.FutureTimeoutError as error:
        print(f"genai-runtime: nothing answers at {target} within {seconds:g} s", file=sys.stderr)
        raise typer.Exit(1) from error


def _text(argument: str) -> str:
    return sys.stdin.read() if argument == "-" else argument


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter("--token-ids takes numbers separated by commas") from error
