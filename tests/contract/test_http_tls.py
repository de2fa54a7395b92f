"""TLS of the data ports, both of them: certificates and client authorities are renewed under a running server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc
from genai_runtime.errors import InvalidSettings
from support.certificates import Authority, Pair
from support.http_front import HttpFront, http_front


class Tls:
    """A server with certificates of `authority`, for clients with certificates of `clients`, if it asks for them."""

    def __init__(self, front: HttpFront, folder: Path) -> None:
        self.front = front
        self.folder = folder

    async def over_http(self, trusted: Authority, pair: Pair | None = None) -> int:
        """The status of one request on a new connection."""
        context = ssl.create_default_context(cadata=trusted.certificate.decode())
        if pair is not None:
            certificate, key = self.folder / "client.crt", self.folder / "client.key"
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            context.load_cert_chain(certificate, key)
        async with httpx2.AsyncClient(verify=context) as client:
            return (await client.get(f"https://localhost:{self.front.port}/healthz")).status_code

    async def over_grpc(self, trusted: Authority, pair: Pair | None = None) -> str:
        """The model's name."""
        credentials = grpc.ssl_channel_credentials(
            trusted.certificate, pair.key if pair else None, pair.certificate if pair else None
        )
        port = self.front.front.server.addresses["grpc"].rpartition(":")[2]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            answer = await inference_pb2_grpc.GenAIServiceStub(channel).GetModel(pb.GetModelRequest(), timeout=5)
        return str(answer.name)

    async def refuses(self, trusted: Authority, pair: Pair | None = None) -> None:
        """Neither port lets this client in."""
        with pytest.raises(httpx2.TransportError):
            await self.over_http(trusted, pair)
        with pytest.raises(grpc.aio.AioRpcError):
            await self.over_grpc(trusted, pair)

    async def accepts(self, trusted: Authority, pair: Pair | None = None) -> None:
        """Both do."""
        assert await self.over_http(trusted, pair) == 200
        assert await self.over_grpc(trusted, pair) == "hello"


@contextlib.asynccontextmanager
async def with_tls(tmp_path: Path, authority: Authority, clients: Authority | None = None) -> AsyncIterator[Tls]:
    folder = tmp_path / "tls"
    authority.write(folder, authority.issue("hello"))
    changes: dict[str, Any] = {"tls_dir": folder}
    if clients is not None:
        changes["client_ca_dir"] = tmp_path / "clients"
        clients.write(changes["client_ca_dir"], clients.issue("unused"))
    async with http_front(tmp_path, **changes) as front:
        yield Tls(front, folder)


async def test_renewed_certificates_are_used_and_broken_ones_are_not(tmp_path: Path) -> None:
    first, second = Authority(), Authority()
    async with with_tls(tmp_path, first) as tls:
        await tls.accepts(first)
        await tls.refuses(second)
        (tls.folder / "tls.key").write_bytes(b"broken")
        await tls.accepts(first)
        second.write(tls.folder, second.issue("hello"))
        await tls.accepts(second)
        await tls.refuses(first)
        (tls.folder / "tls.crt").unlink()
        await tls.accepts(second)


async def test_clients_show_a_certificate_of_the_newest_authority(tmp_path: Path) -> None:
    server, first, second = Authority(), Authority(), Authority()
    async with with_tls(tmp_path, server, first) as tls:
        await tls.accepts(server, first.issue("app"))
        await tls.refuses(server)
        await tls.refuses(server, second.issue("app"))
        second.write(tmp_path / "clients", second.issue("unused"))
        await tls.accepts(server, second.issue("app"))
        await tls.refuses(server, first.issue("app"))


async def test_plain_text_gets_no_answer_and_holds_nobody_up(tmp_path: Path) -> None:
    authority = Authority()
    async with with_tls(tmp_path, authority) as tls:
        reader, writer = await asyncio.open_connection("127.0.0.1", tls.front.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read()).startswith(b"HTTP/1.1")
        writer.close()
        await tls.accepts(authority)


async def test_missing_certificates_end_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"tls\.crt.*GENAI_TLS_DIR"):
        async with http_front(tmp_path, tls_dir=tmp_path):
            pass
