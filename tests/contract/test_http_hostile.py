"""Hostile clients of the HTTP port: each gets its own error, or is cut off, and the streams beside it go on."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genai_runtime.front.http import exchange
from genai_runtime.front.http.connection import BoundedConnection
from genai_runtime.generation import FinishReason, Tokens
from support.http_front import HttpFront, hello_http, http_front
from support.runtime import holds

MESSAGES = [{"role": "user", "content": "the capital?"}]
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}


@asynccontextmanager
async def connected(front: HttpFront) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Until the server closes; a reset is an end as well."""
    found = b""
    try:
        while part := await reader.read(65536):
            found += part
    except ConnectionError:
        pass
    return found


def request(body: bytes) -> bytes:
    """A whole request, after which the server closes."""
    return HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def chat(**fields: Any) -> bytes:
    return json.dumps({"messages": MESSAGES, "max_tokens": 4, **fields}).encode()


DEEP = b'{"messages":[{"role":"user","content":"x"}],"guided_json":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
BODIES: dict[str, tuple[bytes, int]] = {
    "deep JSON": (DEEP, 400),
    "deep lists": (b"[" * 4_000_000, 400),
    "no JSON": (b'{"messages":', 400),
    "no object": (b"[]", 400),
    "not UTF-8": (b'{"prompt":"\xff"}', 400),
    "half a character": (b'{"messages":[{"role":"user","content":"\\ud800"}]}', 400),
    "NaN": (b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}', 400),
    "infinity": (b'{"messages":[{"role":"user","content":"x"}],"top_p":1e999}', 400),
    "a huge number": (b'{"messages":[{"role":"user","content":"x"}],"seed":1' + b"0" * 4000 + b"}", 400),
    "a long number": (b'{"messages":[{"role":"user","content":"x"}],"top_k":1' + b"0" * 4000 + b"}", 400),
    "a number without end": (b'{"messages":[{"role":"user","content":"x"}],"top_k":1' + b"0" * 9000 + b"}", 400),
    "a negative number": (chat(max_tokens=-1), 400),
    "many messages": (chat(messages=MESSAGES * 5000), 400),
    "many stops": (chat(stop=["x"] * 1000), 400),
    "many biases": (chat(logit_bias={str(number): 1 for number in range(5000)}), 400),
    "a bias beyond the vocabulary": (chat(logit_bias={"999999": 1}), 400),
    "a catastrophic regex": (chat(guided_regex="(" * 5000), 400),
    "a deep schema": (chat(guided_json={"a": json.loads("[" * 60 + "]" * 60)}), 400),
    "a long text": (chat(messages=[{"role": "user", "content": "x" * 3_000_000}]), 400),
    "a recursive template": (chat(chat_template="{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), 400),
    "too large": (b" " * (exchange.MAX_BODY_BYTES + 1), 413),
}


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies_beside_a_live_stream(tmp_path: Path, name: str) -> None:
    body, status = BODIES[name]
    async with http_front(tmp_path) as front, connected(front) as (reader, writer):
        front.engine.hold = True
        task, stream_id = await live_stream(front)
        writer.write(request(body))
        answer = await rest_of(reader)
        assert answer.split(b" ", 2)[1] == str(status).encode(), answer[:300]
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert error["message"]
        assert len(error["message"]) < 1000
        await finish_stream(front, task, stream_id)


async def live_stream(front: HttpFront) -> tuple["asyncio.Task[str]", str]:
    """A stream that the test goes on with later."""

    async def read() -> str:
        async with front.web() as web:
            return (await web.post("/v1/chat/stream", json={"messages": MESSAGES})).text

    task = asyncio.create_task(read())
    await front.front.submitted()
    return task, next(iter(front.engine.streams))


async def finish_stream(front: HttpFront, task: "asyncio.Task[str]", stream_id: str) -> None:
    front.engine.streams[stream_id].put(Tokens(stream_id, [70, 71, 72]))
    front.engine.end(stream_id, FinishReason.STOP)
    assert '"done":true' in await task


async def test_hundred_mebibytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, connected(front) as (reader, writer):
        writer.write(HEAD + b"content-length: 104857600\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
    async with http_front(tmp_path / "chunked") as front, connected(front) as (reader, writer):
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        answered = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        for _ in range(100):
            writer.write(b"100000\r\n" + b" " * 2**20 + b"\r\n")
            await writer.drain()
            if answered.done():
                break
        assert (await answered).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}", 415),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_strange_heads(tmp_path: Path, head: bytes, status: int) -> None:
    async with http_front(tmp_path) as front, connected(front) as (reader, writer):
        writer.write(head)
        assert (await reader.readline()).split(b" ")[1] == str(status).encode()


Slow = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    await writer.drain()


async def half_a_head(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await writer.drain()


async def endless_head(writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(HEAD + b"x-endless: ")
        for _ in range(1000):
            writer.write(b"x" * 4096)
            await writer.drain()
    except ConnectionError:
        pass


async def half_a_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 100\r\n\r\n{")
    await writer.drain()


@pytest.mark.parametrize("slow", [says_nothing, half_a_head, endless_head, half_a_body])
async def test_slow_senders_are_cut_off(tmp_path: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", 60.0 if slow is endless_head else 0.2)
    monkeypatch.setattr(BoundedConnection, "rest_seconds", 0.2)
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.2)
    async with http_front(tmp_path) as front, connected(front) as (reader, writer):
        await slow(writer)
        answer = await rest_of(reader)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
        assert bool(answer) == (slow is half_a_body)


async def test_slow_readers_are_cut_off_and_their_rows_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "write_seconds", 0.2)
    async with http_front(tmp_path, max_unread_bytes=2**30) as front:
        front.engine.hold = True
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", front.port))
            await asyncio.get_running_loop().sock_sendall(client, request(chat(stream=True)))
            await front.front.submitted()
            (request_id,) = front.engine.streams
            stream = front.engine.streams[request_id]
            while not stream.ended:
                stream.put(Tokens(request_id, [70, 71, 72] * 100))
                await asyncio.sleep(0.001)
            await front.front.cancelled(request_id, FinishReason.CANCELLED)


async def test_connections_that_are_only_half_open_free_their_rows(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front:
        front.engine.hold = True
        async with connected(front) as (_, writer):
            writer.write(request(chat()))
            await front.front.submitted()
            writer.write_eof()
            (request_id,) = front.engine.streams
            await front.front.cancelled(request_id, FinishReason.CANCELLED)


async def test_an_id_in_use_is_refused(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web(headers={"x-request-id": "same"}) as web:
        front.engine.hold = True
        first = asyncio.create_task(web.post("/v1/chat", json={"messages": MESSAGES}))
        await front.front.submitted()
        second = await web.post("/v1/chat", json={"messages": MESSAGES})
        assert (second.status_code, second.json()["error"]["param"]) == (400, "X-Request-Id")
        front.engine.end("same", FinishReason.STOP)
        assert (await first).status_code == 200


async def test_the_engine_survives_its_own_share(tmp_path: Path) -> None:
    """What only the real engine can refuse: each beside streams that say what they always say."""
    hostile: list[dict[str, Any]] = [
        {"guided_regex": "(a{1,1000}){1,1000}"},
        {"guided_json": {"type": "string", "pattern": "(x+x+)+y"}},
        {"structured_outputs": {"grammar": "start: start start"}},
        {"messages": [{"role": "user", "content": "\x00" * 50}]},
        {"messages": [{"role": "user", "content": "<|pad|>" * 20}]},
        {"logit_bias": {"5": 100}, "presence_penalty": 2, "frequency_penalty": -2},
    ]
    async with hello_http(tmp_path) as (hello, base):
        async with httpx2.AsyncClient(base_url=base, timeout=30) as web:
            want = (await web.post("/v1/chat/completions", json=QUESTION)).json()["choices"][0]["message"]["content"]
            for fields in hostile:
                beside = [asyncio.create_task(web.post("/v1/chat/completions", json=QUESTION)) for _ in range(4)]
                answer = await web.post("/v1/chat/completions", json={**QUESTION, "max_tokens": 8, **fields})
                assert answer.status_code in (200, 400), answer.text
                assert [(await task).json()["choices"][0]["message"]["content"] for task in beside] == [want] * 4
        await holds(lambda: hello.sample("genai_requests_running") == 0)
