"""What chat and bench say to a model's HTTP port, against the real server; the port-forward alone is a plain socket."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_kubectl.clients import forward
from genai_kubectl.clients.forward import Access, PodHttp
from genai_kubectl.commands.bench import _one, _Run
from genai_kubectl.decisions.chat_stream import END, PATH, piece, request
from genai_kubectl.errors import CommandFailed
from support.certificates import Authority
from support.http_front import hello_http

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
NAME = "hello.demo.svc"


class Forwarded:
    """As the kubernetes package's: a socket a port, and what went wrong on the way."""

    def __init__(self, port: int) -> None:
        self._port = port

    def socket(self, _: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port))

    def error(self, _: int) -> str | None:
        return None


@asynccontextmanager
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> AsyncIterator[None]:
    """The hello model behind a forward."""
    async with hello_http(tmp_path, **changes) as (_, base):
        port = int(base.rpartition(":")[2])
        monkeypatch.setattr(forward, "_forward", lambda kube, pod, wanted: Forwarded(port))
        yield


def connect(access: Access | None = None) -> PodHttp:
    none: Any = None
    return PodHttp(none, "hello-1", 8080, access or Access())


def ask(access: Access | None = None, times: int = 1, **limits: Any) -> list[str]:
    """Answers, one after the other on one connection."""
    with connect(access) as http:
        return [_answer(http, **limits) for _ in range(times)]


def _answer(http: PodHttp, **limits: Any) -> str:
    events = http.post_events(PATH, request("hello", MESSAGES, **limits))
    return "".join(piece(data).text for data in events if data != END)


async def test_answers_come_as_events_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(tmp_path, monkeypatch):
        assert await asyncio.to_thread(ask, times=3, temperature=0) == [ANSWER] * 3


async def test_a_measured_request_has_all_its_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Run("hello", "Tell me an endless story.", 12, until=time.monotonic() + 60)
    async with server(tmp_path, monkeypatch):

        def measure() -> Any:
            with connect() as http:
                return _one(http, "hello-1", run)

        found = await asyncio.to_thread(measure)
    assert found.tokens == 12
    assert 1 <= len(found.seen) <= 12
    assert list(found.seen) == sorted(found.seen)


async def test_a_refusal_is_told_in_the_servers_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(tmp_path, monkeypatch):
        with pytest.raises(CommandFailed, match=r"pod hello-1 answers 400: .*temperature"):
            await asyncio.to_thread(ask, temperature=9)


async def test_a_key_is_needed_where_the_model_has_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "team-a").write_text("secret-of-team-a")
    async with server(tmp_path, monkeypatch, api_keys_dir=tmp_path / "keys"):
        with pytest.raises(CommandFailed, match="--api-key-file or GENAI_API_KEY"):
            await asyncio.to_thread(ask)
        assert await asyncio.to_thread(ask, Access(api_key="secret-of-team-a"), temperature=0) == [ANSWER]


async def test_certificates_are_checked_against_the_models_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, stranger, clients = Authority(), Authority(), Authority()
    authority.write(tmp_path / "tls", authority.issue(NAME))
    clients.write(tmp_path / "clients", clients.issue("unused"))
    pair = clients.issue("me")
    for name, content in (
        ("ca.crt", authority.certificate),
        ("stranger.crt", stranger.certificate),
        ("me.crt", pair.certificate),
        ("me.key", pair.key),
    ):
        (tmp_path / name).write_bytes(content)
    mine = {"certificate": tmp_path / "me.crt", "key": tmp_path / "me.key"}
    trusted = tmp_path / "ca.crt"
    async with server(tmp_path, monkeypatch, tls_dir=tmp_path / "tls", client_ca_dir=tmp_path / "clients"):
        good = Access(server_name=NAME, authority=trusted, **mine)
        assert await asyncio.to_thread(ask, good, temperature=0) == [ANSWER]
        unchecked = Access(server_name=NAME, verify=False, **mine)
        assert await asyncio.to_thread(ask, unchecked, temperature=0) == [ANSWER]
        for bad in (
            Access(server_name=NAME, authority=tmp_path / "stranger.crt", **mine),
            Access(server_name="other.demo.svc", authority=trusted, **mine),
        ):
            with pytest.raises(CommandFailed, match="--ca"):
                await asyncio.to_thread(ask, bad)
        with pytest.raises(CommandFailed, match="pod hello-1"):
            await asyncio.to_thread(ask, Access(server_name=NAME, authority=trusted))


def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=str(tmp_path / "none")):
        Access(server_name=NAME, authority=tmp_path / "none").tls()
