"""Mutual TLS of the control port: the certificate is read again when its files change, and the last good one is kept.

The operator renews the Secret while the pod runs; kubelet then swaps the mounted files. Who may call is `control.py`.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from genai_runtime.errors import InvalidSettings

_log = structlog.get_logger("genai_runtime.tls")


@dataclass(frozen=True, slots=True)
class _Files:
    """What the three files hold."""

    certificate: bytes
    key: bytes
    authority: bytes

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.authority)


class RotatingCredentials:
    """Server credentials from `tls.crt`, `tls.key` and `ca.crt` of a folder. gRPC asks anew for every handshake."""

    def __init__(self, folder: Path) -> None:
        """Raises `InvalidSettings` when the files are missing or do not fit together."""
        self._folder = folder
        try:
            self._current = self._read()
            self._check()
        except ssl.SSLError as error:
            raise InvalidSettings(f"the certificate files in {folder} do not fit together: {error}") from error
        except OSError as error:
            raise InvalidSettings(
                f"the control port needs {error.filename}, which cannot be read ({error.strerror}); mount the "
                "control certificate there or set GENAI_CONTROL_PORT=0"
            ) from error

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`; clients without a certificate of `ca.crt` are refused in the handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._current.configuration(),
            self._fetch,  # type: ignore[arg-type]  # the stubs forget None: unchanged
            require_client_authentication=True,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC from a thread of its own; None means unchanged."""
        try:
            found = self._read()
            if found == self._current:
                return None
            self._check()
        except OSError as error:  # ssl.SSLError is one
            _log.warning("control certificate cannot be used, the last one is kept", reason=str(error))
            return None
        self._current = found
        _log.info("control certificate renewed")
        return found.configuration()

    def _read(self) -> _Files:
        names = ("tls.crt", "tls.key", "ca.crt")
        return _Files(*((self._folder / name).read_bytes() for name in names))

    def _check(self) -> None:
        """Raises `ssl.SSLError` unless certificate and key fit and the authority is one; gRPC would only log it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "tls.crt", self._folder / "tls.key")
        context.load_verify_locations(self._folder / "ca.crt")
