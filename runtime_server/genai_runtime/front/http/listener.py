"""The HTTP port: uvicorn inside the server's own event loop, with its socket, TLS and the way it is closed.

uvicorn's signals, access log and start-up messages are off: the server has its own. Routes are `app.py`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from genai_runtime.errors import InvalidSettings
from genai_runtime.front.http.connection import BoundedConnection
from genai_runtime.front.tls import CertificateFiles, http_context

# Idle connections are kept longer than clients and meshes keep theirs, so that they are the ones to close.
_IDLE_SECONDS = 75
_BACKLOG = 1024
# A peer that vanished without a word is noticed: probes when idle, a bound on unacknowledged data when not.
_PROBE_AFTER, _PROBE_EVERY, _PROBES = 60, 10, 2
_UNACKNOWLEDGED_MILLISECONDS = 30_000


class HttpListener:
    """One HTTP port."""

    def __init__(self, host: str, port: int, app: ASGIApp, files: CertificateFiles | None = None) -> None:
        """Binds. Raises `InvalidSettings` when the port is taken or a certificate cannot be used."""
        self._socket = _bind(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.port = int(self._socket.getsockname()[1])
        self.address = f"{'http' if files is None else 'https'}://{shown}:{self.port}"
        try:
            tls = None if files is None else http_context(files)
        except InvalidSettings:
            self._socket.close()
            raise
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedConnection,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_IDLE_SECONDS,
            )
        )
        self._server.config.load()
        self._server.config.ssl = tls
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        self._started = False

    async def start(self) -> None:
        """Serve."""
        await self._server.startup(sockets=[self._socket])
        # All that uvicorn's main loop is for here: it would wake this process ten times a second.
        self._server.server_state.default_headers = self._server.config.encoded_headers
        self._started = True

    def leave(self) -> None:
        """Refuse new connections, and have each one end with its next answer: clients ask elsewhere then."""
        for server in self._server.servers:
            server.close()
        state = self._server.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]

    async def close(self, grace: float) -> None:
        """Refuse new connections; answers that are on their way may finish within `grace` seconds."""
        if not self._started:
            self._socket.close()
            return
        self._server.config.timeout_graceful_shutdown = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._server.shutdown(sockets=[self._socket])
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """Without signals, which belong to the whole server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit these.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise InvalidSettings(
            f"HTTP cannot listen on {host}:{port}: {error.strerror or error}; set GENAI_HTTP_PORT, 0 is off"
        ) from error
    bound.listen(_BACKLOG)
    return bound
