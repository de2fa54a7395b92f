"""`chat`: a conversation with a live model in the terminal, by OpenAI's HTTP through a port-forward."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from genai_kubectl.clients.forward import PodHttp
from genai_kubectl.commands.access import Credentials, access
from genai_kubectl.decisions.chat_stream import END, PATH, Piece, piece, request
from genai_kubectl.decisions.pods import ready_names
from genai_kubectl.errors import WrongUsage
from genai_kubectl.names import MODELS, PORT_HTTP
from genai_kubectl.options import Common, Format, ModelName
from genai_kubectl.output import note, show, structured
from genai_kubectl.session import Session

_PROMPT = "> "


def chat(  # noqa: PLR0913 - a command's options
    name: ModelName,
    common: Common,
    credentials: Credentials,
    message: Annotated[
        str, typer.Argument(help="What to ask; without it a conversation, ended by Ctrl-D.", show_default=False)
    ] = "",
    system: Annotated[str, typer.Option(help="A system message.", show_default=False)] = "",
    pod: Annotated[str, typer.Option(help="This pod; else the first Ready one.", show_default=False)] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="New tokens at most.", show_default=False)] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 is greedy.", show_default=False)] = None,
) -> None:
    """Talk to a model; the answer is shown as it is generated."""
    session = Session(common)
    if not message and (session.output is not Format.TABLE or not sys.stdin.isatty()):
        message = sys.stdin.read().strip()
        if not message:
            raise WrongUsage("there is nothing to ask: give a MESSAGE, or write it to stdin")
    model = session.kube.get(MODELS, name)
    (chosen, *_) = ready_names(session.kube.pods(name), name, pod)
    how = access(model, credentials)
    messages = [{"role": "system", "content": system}] if system else []
    limits: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}

    def ask() -> str:
        # A connection of its own for each answer: the server closes one that waits for a person.
        with PodHttp(session.kube, chosen, PORT_HTTP, how) as http:
            return _answer(http, request(name, messages, **limits), session.output, chosen)

    if message:
        messages.append({"role": "user", "content": message})
        ask()
    else:
        note(f"{name} on pod {chosen}; Ctrl-D ends")
        _converse(ask, messages)


def _converse(ask: Callable[[], str], messages: list[dict[str, str]]) -> None:
    """Turn by turn, until the end of stdin."""
    while True:
        try:
            asked = input(_PROMPT)
        except EOFError:
            note("")
            return
        if not asked.strip():
            continue
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": ask()})


def _answer(http: PodHttp, body: dict[str, Any], output: Format, pod: str) -> str:
    """Shows one answer as it comes; returns its text."""
    begun = time.monotonic()
    first: float | None = None
    pieces: list[Piece] = []
    live = output in (Format.TABLE, Format.WIDE)
    for data in http.post_events(PATH, body):
        if data == END:
            continue
        pieces.append(piece(data))
        if pieces[-1].text and first is None:
            first = time.monotonic() - begun
        if live:
            print(pieces[-1].text, end="", flush=True)
    text = "".join(each.text for each in pieces)
    result = _result(pieces, text, first, time.monotonic() - begun, pod)
    if live:
        print(flush=True)
        note(
            f"[{result['completionTokens']} tokens, first after {result['firstTokenMs']} ms, "
            f"{result['tokensPerSecond']} tokens/s, {result['finishReason']}, pod {pod}]"
        )
    elif not structured(result, output):
        show(text)
    return text


def _result(pieces: list[Piece], text: str, first: float | None, total: float, pod: str) -> dict[str, Any]:
    tokens = max((each.completion_tokens for each in pieces), default=0)
    return {
        "pod": pod,
        "text": text,
        "finishReason": next((each.finish_reason for each in pieces if each.finish_reason), ""),
        "promptTokens": max((each.prompt_tokens for each in pieces), default=0),
        "completionTokens": tokens,
        "firstTokenMs": round(first * 1000, 1) if first is not None else None,
        "tokensPerSecond": round(tokens / total, 1),
    }
