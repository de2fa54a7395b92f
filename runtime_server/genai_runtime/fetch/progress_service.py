"""ControlService.GetFetchProgress over mutual TLS, and nothing else of that service: the operator follows a fetch.

The one module here that knows gRPC and the front, of which it takes the certificates alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.progress import Phase, Progress, Snapshot
from genai_runtime.front.tls import CertificateFiles, grpc_credentials

_STATES = {
    Phase.RESOLVING: pb.FETCH_STATE_RESOLVING,
    Phase.FETCHING: pb.FETCH_STATE_FETCHING,
    Phase.VERIFYING: pb.FETCH_STATE_VERIFYING,
    Phase.BUILDING: pb.FETCH_STATE_BUILDING,
    Phase.MEASURING: pb.FETCH_STATE_MEASURING,
    Phase.COMPLETE: pb.FETCH_STATE_COMPLETE,
    Phase.FAILED: pb.FETCH_STATE_FAILED,
}
_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 10))
_log = structlog.get_logger("genai_runtime.fetch")


@dataclass(frozen=True, slots=True)
class ControlPort:
    """Where it listens, with which certificate, and the common name that may call."""

    host: str
    port: int
    tls_dir: Path
    client_name: str


class _Service(pb_grpc.ControlServiceServicer):
    def __init__(self, progress: Progress, client_name: str) -> None:
        self._progress = progress
        self._client_name = client_name

    def GetFetchProgress(  # noqa: N802 - gRPC's name
        self, request: pb.GetFetchProgressRequest, context: grpc.ServicerContext
    ) -> pb.FetchProgress:
        """See the protocol."""
        del request
        # The stubs say that values are numbers; they are lists of bytes.
        shown: Mapping[str, Iterable[bytes]] = context.auth_context()  # type: ignore[assignment]
        names = [name.decode(errors="replace") for name in shown.get("x509_common_name", ())]
        if self._client_name not in names:
            _log.warning("control refused", client=names)
            message = f"control is for client certificate {self._client_name!r} only"
            context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        return _message(self._progress.snapshot())


@contextmanager
def served(progress: Progress, control: ControlPort | None) -> Iterator[None]:
    """While the block runs; None: not at all. Raises `InvalidSettings`."""
    if control is None:
        yield
        return
    credentials = grpc_credentials(CertificateFiles.of_control(control.tls_dir))
    with ThreadPoolExecutor(2, thread_name_prefix="progress") as pool:
        server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=16)
        pb_grpc.add_ControlServiceServicer_to_server(_Service(progress, control.client_name), server)
        address = f"[{control.host}]:{control.port}" if ":" in control.host else f"{control.host}:{control.port}"
        try:
            server.add_secure_port(address, credentials)
        except RuntimeError:
            raise InvalidSettings(f"--control-port: {address} cannot be listened on; is it taken?") from None
        server.start()
        try:
            yield
        finally:
            server.stop(grace=0.5).wait()


def _message(now: Snapshot) -> pb.FetchProgress:
    return pb.FetchProgress(
        state=_STATES[now.phase],
        fetched_bytes=now.fetched_bytes,
        total_bytes=now.total_bytes,
        fetched_files=now.fetched_files,
        total_files=now.total_files,
        remaining_seconds=now.remaining_seconds,
        digest=now.digest,
        cached=now.cached,
        reason=now.reason,
        message=now.message,
        percent=now.percent,
    )
