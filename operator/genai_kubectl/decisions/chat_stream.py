"""OpenAI's chat completions over HTTP: the request, and what a streamed answer's events mean. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genai_kubectl.errors import CommandFailed

PATH = "/v1/chat/completions"
END = "[DONE]"
Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event adds to an answer. Token counts come with the last one."""

    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def request(
    model: str, messages: Sequence[Message], *, max_tokens: int | None = None, temperature: float | None = None
) -> dict[str, Any]:
    """The body of a streamed request whose last event has the token counts."""
    body: dict[str, Any] = {"model": model, "messages": [dict(each) for each in messages], "stream": True}
    body["stream_options"] = {"include_usage": True}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    return body


def piece(data: str) -> Piece:
    """Of one event's data, not of `END`.

    Raises:
        CommandFailed: the server says that the answer failed, or it is no such event.
    """
    try:
        event = json.loads(data)
    except ValueError:
        raise CommandFailed(f"the server sent what is no event of a chat: {data[:200]!r}") from None
    if event.get("error"):
        error = event["error"]
        raise CommandFailed(str(error.get("message", error)) if isinstance(error, Mapping) else str(error))
    choices = event.get("choices") or [{}]
    usage = event.get("usage") or {}
    return Piece(
        text=(choices[0].get("delta") or {}).get("content") or "",
        finish_reason=choices[0].get("finish_reason") or "",
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
    )
