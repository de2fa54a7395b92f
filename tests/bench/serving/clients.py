"""The two clients of the benchmark: gRPC as users write it, and an HTTP client that costs as little as one can.

The machine's cores are shared with the servers, so what a client costs is part of the figures: the HTTP client is
leaner than any library, in favour of the peer that only speaks HTTP. One connection a request: llama-server drops
connections that are kept alive.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import httptools

from bench.serving.streams import Stream
from genai_protocol.v1 import inference_pb2, inference_pb2_grpc


class WrongAnswer(Exception):
    """The server answered something else than the tokens that were asked for."""


class GrpcClient:
    """`genai.v1` over one channel."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.stub = inference_pb2_grpc.GenAIServiceStub(self.channel)

    async def stream(self, prompt: list[int], count: int) -> Stream:
        """Raises `WrongAnswer` or `grpc.aio.AioRpcError`."""
        found = Stream(time.perf_counter())
        async for message in self.call(prompt, count):
            if message.HasField("chunk") and message.chunk.token_ids:
                found.arrivals.append((time.perf_counter(), len(message.chunk.token_ids)))
        return _complete(found, count)

    def call(self, prompt: list[int], count: int, *, ignore_eos: bool = False, timeout: float | None = None) -> Any:
        """A running request, to be read or cancelled."""
        generation = inference_pb2.GenerationOptions(max_tokens=count, temperature=0.0, ignore_eos=ignore_eos)
        request = inference_pb2.GenerateRequest(token_ids=inference_pb2.TokenIds(ids=prompt), options=generation)
        return self.stub.Generate(request, timeout=timeout)

    async def close(self) -> None:
        await self.channel.close()


class HttpClient:
    """Server-sent events over HTTP/1.1."""

    def __init__(self, port: int, path: str, body: Callable[[list[int], int], dict[str, Any]]) -> None:
        """`body` makes the request from a prompt and the number of new tokens."""
        self._port = port
        self._path = path
        self._body = body

    async def stream(self, prompt: list[int], count: int) -> Stream:
        """Raises `WrongAnswer` or `OSError`."""
        found = Stream(time.perf_counter())
        body = json.dumps(self._body(prompt, count)).encode()
        lines = (
            f"POST {self._path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Content-Type: application/json",
            "Connection: close",
            f"Content-Length: {len(body)}",
        )
        loop = asyncio.get_running_loop()
        transport, answer = await loop.create_connection(lambda: _Answer(found), "127.0.0.1", self._port)
        try:
            transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await answer.done
        finally:
            transport.close()
        answer.check(self._path)
        return _complete(found, count)


def openai_completion(model: str) -> Callable[[list[int], int], dict[str, Any]]:
    """Bodies of /v1/completions."""

    def body(prompt: list[int], count: int) -> dict[str, Any]:
        fixed = {"model": model, "stream": True, "temperature": 0, "stream_options": {"include_usage": True}}
        return {**fixed, "prompt": prompt, "max_tokens": count}

    return body


def llama_completion(prompt: list[int], count: int) -> dict[str, Any]:
    """llama-server's own /completion; prompts are new, so its cache could only cost."""
    fixed = {"stream": True, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    return {**fixed, "prompt": prompt, "n_predict": count}


class _Answer(asyncio.Protocol):
    """Notes when events with text arrive; the rest is looked at when the answer is over."""

    def __init__(self, found: Stream) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._found = found
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._times: list[float] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._times.append(time.perf_counter())
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection within an answer"))

    def check(self, path: str) -> None:
        """Counts the tokens. Raises `WrongAnswer` for another status than 200."""
        status = self._parser.get_status_code()
        if status != 200:
            raise WrongAnswer(f"{path} answered {status}: {b''.join(self._parts)[:500]!r}")
        text, tokens = b"", 0
        for at, part in zip(self._times, self._parts, strict=True):
            *whole, text = (text + part).split(b"\n\n")
            before = tokens
            for event in whole:
                tokens = _tokens_so_far(event, tokens)
            if tokens > before:
                self._found.arrivals.append((at, tokens - before))


def _tokens_so_far(event: bytes, before: int) -> int:
    """A server may keep a token back while its character is incomplete: both protocols tell the sum, OpenAI's at the
    end only."""
    data = event.removeprefix(b"data: ")
    if not data.startswith(b"{"):
        return before
    content = json.loads(data)
    if "tokens_predicted" in content:
        return int(content["tokens_predicted"])
    if content.get("usage"):
        return int(content["usage"]["completion_tokens"])
    return before + any(choice.get("text") for choice in content["choices"])


def _complete(found: Stream, count: int) -> Stream:
    if found.tokens != count:
        raise WrongAnswer(f"{found.tokens} tokens came instead of {count}")
    return found
