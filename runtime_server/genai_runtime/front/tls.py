"""TLS of the server's ports: certificates are read again when their files change, and the last good ones are kept.

Whoever renews the Secret does so while the pod runs; kubelet then swaps the mounted files. Who may call is `control.py`
and `access.py`.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from genai_runtime.errors import InvalidSettings

_log = structlog.get_logger("genai_runtime.tls")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a port's certificate is. With an `authority` clients must show a certificate that it signed."""

    certificate: Path
    key: Path
    authority: Path | None
    advice: str  # what a person can do when they are missing

    @classmethod
    def of_control(cls, folder: Path) -> "CertificateFiles":
        """`tls.crt`, `tls.key` and `ca.crt` of one folder."""
        advice = "mount the control certificate there or set GENAI_CONTROL_PORT=0"
        return cls(folder / "tls.crt", folder / "tls.key", folder / "ca.crt", advice)

    @classmethod
    def of_data(cls, folder: Path, authority_folder: Path | None) -> "CertificateFiles":
        """`tls.crt` and `tls.key`; clients need a certificate only where there is a folder with their `ca.crt`."""
        advice = "mount the Secret there, or leave GENAI_TLS_DIR and GENAI_CLIENT_CA_DIR empty for plain text"
        authority = None if authority_folder is None else authority_folder / "ca.crt"
        return cls(folder / "tls.crt", folder / "tls.key", authority, advice)

    def read(self) -> tuple[bytes, ...]:
        """What the files hold: certificate, key and, if there is one, authority."""
        paths = (self.certificate, self.key, self.authority)
        return tuple(path.read_bytes() for path in paths if path is not None)

    def context(self) -> ssl.SSLContext:
        """Raises `OSError` (`ssl.SSLError` is one) unless all files are there and fit together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key, password="")  # else an encrypted key asks the terminal
        if self.authority is not None:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would not be verified against an authority that has changed since.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context


class _Rotation:
    """The newest usable content of the files."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises `InvalidSettings` when the files are missing or do not fit together."""
        self._files = files
        try:
            self._content = files.read()
            self.context = files.context()
        except ssl.SSLError as error:
            raise InvalidSettings(
                f"the certificate files in {files.certificate.parent} do not fit together: {error}"
            ) from error
        except OSError as error:
            raise InvalidSettings(f"{error.filename} cannot be read ({error.strerror}); {files.advice}") from error

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, *authority = self._content
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority[0] if authority else None)

    def renewed(self) -> bool:
        """Whether the files have new content that can be used."""
        try:
            found = self._files.read()
            if found == self._content:
                return False
            self.context = self._files.context()
        except OSError as error:  # ssl.SSLError is one
            _log.warning("certificate cannot be used, the last one is kept", reason=str(error))
            return False
        self._content = found
        _log.info("certificate renewed", file=str(self._files.certificate))
        return True


def grpc_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """For `add_secure_port`; gRPC asks anew for every handshake, from a thread of its own. Raises `InvalidSettings`."""
    rotation = _Rotation(files)
    return grpc.dynamic_ssl_server_credentials(
        rotation.configuration(),
        # The stubs forget that None means unchanged.
        lambda: rotation.configuration() if rotation.renewed() else None,  # type: ignore[arg-type,return-value]
        require_client_authentication=files.authority is not None,
    )


def http_context(files: CertificateFiles) -> ssl.SSLContext:
    """For a listening socket: each handshake gets the newest context. Raises `InvalidSettings`."""
    rotation = _Rotation(files)

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL asks before it uses a certificate, also when the client named no server."""
        del name, context
        rotation.renewed()
        connection.context = rotation.context

    listening = files.context()
    listening.sni_callback = choose
    return listening
