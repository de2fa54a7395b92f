"""An OpenAI client of a model, run inside a pod of the runtime image: `python http_client.py URL …`.

Python's own library alone, so that it needs nothing installed; programs would use the `openai` package
(../openai_client.py). Prints one JSON object a line, in the form of client.py.
"""

import argparse
import base64
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any


def emit(event: str, **fields: object) -> None:
    """One line of output."""
    print(json.dumps({"at": time.time(), "event": event, **fields}), flush=True)


def connect(arguments: argparse.Namespace) -> http.client.HTTPConnection:
    """A connection as the options say; certificates are checked against the given authority alone."""
    url = urllib.parse.urlsplit(arguments.url)
    if url.scheme == "http":
        return http.client.HTTPConnection(url.netloc, timeout=arguments.seconds)
    context = ssl.create_default_context(cadata=base64.b64decode(arguments.authority or "").decode())
    return http.client.HTTPSConnection(url.netloc, timeout=arguments.seconds, context=context)


def events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """What server-sent events carry, until the last one."""
    for line in answer:
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            yield json.loads(line[5:])


def chat(arguments: argparse.Namespace) -> None:
    """Streams the answer to one question from /v1/chat/completions; greedy, so that it is always the same."""
    body = {
        "model": arguments.model,
        "messages": [{"role": "user", "content": arguments.text}],
        "max_tokens": arguments.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Content-Type": "application/json"}
    if arguments.key:
        headers["Authorization"] = f"Bearer {arguments.key}"
    connection = connect(arguments)
    emit("sent")
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        emit("status", code=answer.status, details=answer.read().decode(errors="replace"))
        return
    for each in events(answer):
        for choice in each["choices"]:
            if text := choice["delta"].get("content"):
                emit("chunk", text=text)
            if reason := choice["finish_reason"]:
                emit("finish", reason=reason)
        if usage := each.get("usage"):
            emit("usage", **{name: usage[name] for name in ("prompt_tokens", "completion_tokens")})
    emit("status", code=answer.status, details="")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://host:port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", default="What is the capital of France?")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--key", help="API key")
    parser.add_argument("--authority", help="whom to trust, base64 of PEM")
    chat(parser.parse_args())


if __name__ == "__main__":
    main()
