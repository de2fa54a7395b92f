"""The server's gRPC ports: data with health and reflection, control on mutual TLS and on a Unix socket.

What is served there comes from outside; here are addresses, limits of connections, and how they are closed.
"""

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from genai_protocol.oip import inference_pb2 as oip_pb2
from genai_protocol.oip import inference_pb2_grpc as oip_pb2_grpc
from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2, inference_pb2_grpc
from genai_runtime.errors import InvalidSettings
from genai_runtime.front import leaving, reflection
from genai_runtime.front.control import ControlService
from genai_runtime.front.dialects.decoding import TolerantDecoding
from genai_runtime.front.dialects.native import NativeService
from genai_runtime.front.dialects.oip import OpenInferenceService

SERVICE = inference_pb2.DESCRIPTOR.services_by_name["GenAIService"].full_name
OPEN_INFERENCE = oip_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_READY_SERVICES = (SERVICE, OPEN_INFERENCE)
_CONTROL = control_pb2.DESCRIPTOR.services_by_name["ControlService"].full_name
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.max_concurrent_streams", 1024),
    # A peer that vanished without a word is noticed within 80 s; clients may ping every 30 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class DataListener:
    """Both inference services, health v1 and reflection on the data port."""

    def __init__(
        self,
        host: str,
        port: int,
        dialects: tuple[NativeService, OpenInferenceService],
        credentials: grpc.ServerCredentials | None = None,
        health_port: int = 0,
        connection_age: float = 0.0,
    ) -> None:
        """On `health_port`, if any, there is health alone, in plain text: for probes that speak no TLS.

        A connection gets no new calls after `connection_age` seconds, if not 0: its client connects anew, and loses
        nothing. Raises `InvalidSettings` when a port cannot be bound.
        """
        age = [("grpc.max_connection_age_ms", int(connection_age * 1000))] if connection_age else []
        server = grpc.aio.server(interceptors=[TolerantDecoding(_READY_SERVICES)], options=[*_OPTIONS, *age])
        self._health = health.aio.HealthServicer()
        inference_pb2_grpc.add_GenAIServiceServicer_to_server(dialects[0], server)
        oip_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(dialects[1], server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable(server, [*_READY_SERVICES, health.SERVICE_NAME])
        self.address, self.port = _bind(server, host, port, credentials, "GENAI_GRPC_PORT")
        self._servers = [server]
        if health_port:
            plain = grpc.aio.server(options=_OPTIONS)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, plain)
            _bind(plain, host, health_port, None, "GENAI_HEALTH_PORT")
            self._servers.append(plain)

    async def start(self) -> None:
        """Serve; the process lives, and is not ready."""
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        await self.set_ready(ready=False)
        for server in self._servers:
            await server.start()

    async def set_ready(self, *, ready: bool) -> None:
        """Readiness, as the health of both services."""
        status = health_pb2.HealthCheckResponse
        for service in _READY_SERVICES:
            await self._health.set(service, status.SERVING if ready else status.NOT_SERVING)

    def leave(self) -> None:
        """Refuse new connections; calls on those that are there are served until the connections' age ends them."""
        leaving.stop_listening(self.port)

    async def close(self, grace: float) -> None:
        """Refuse new calls; those that run may finish within `grace` seconds."""
        await asyncio.gather(*(server.stop(grace) for server in self._servers))


class ControlListener:
    """One way to the control service."""

    def __init__(self, server: grpc.aio.Server, address: str) -> None:
        self._server = server
        self.address = address

    @classmethod
    def on_port(
        cls, host: str, port: int, service: ControlService, credentials: grpc.ServerCredentials
    ) -> "ControlListener":
        """Mutual TLS. Raises `InvalidSettings` when the port cannot be bound."""
        server = _control_server(service)
        address, _ = _bind(server, host, port, credentials, "GENAI_CONTROL_PORT")
        return cls(server, address)

    @classmethod
    def on_socket(cls, path: Path, service: ControlService) -> "ControlListener":
        """For this user alone. Raises `InvalidSettings` when another server listens there."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        server = _control_server(service)
        umask = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise InvalidSettings(f"cannot listen on {path}: {error}; set GENAI_RUN_DIR to a short path") from error
        finally:
            os.umask(umask)
        return cls(server, f"unix:{path}")

    async def start(self) -> None:
        """Serve."""
        await self._server.start()

    async def close(self, grace: float) -> None:
        """As `DataListener.close`."""
        await self._server.stop(grace)


def _control_server(service: ControlService) -> grpc.aio.Server:
    server = grpc.aio.server(options=_OPTIONS)
    control_pb2_grpc.add_ControlServiceServicer_to_server(service, server)
    reflection.enable(server, [_CONTROL])
    return server


def _bind(
    server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None, setting: str
) -> tuple[str, int]:
    """(address, port) that was bound."""
    shown = f"[{host}]" if ":" in host else host
    address = f"{shown}:{port}"
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise InvalidSettings(f"cannot listen on {address}: it is in use or not ours; set {setting}") from error
    return f"{shown}:{bound}", bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that a dead server left; refuse anything else of that name."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InvalidSettings(f"{path} exists and is not a socket; remove it or set GENAI_RUN_DIR")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise InvalidSettings(f"another model server uses {path}; set GENAI_RUN_DIR to a folder of its own")
