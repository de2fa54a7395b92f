"""Certificates of the control service: a pure function of (CA key, model, period), so nothing has to be read back.

The operator may write Secrets and not read them. Deriving a model's key and certificate, signature included, from the
CA key makes the manifest reproducible: it can be applied again at any time, also by a restarted operator, and changes
nothing unless a new period began. Why, and what was rejected is in
docs/decisions/0003-deterministic-control-certificates.md.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import control_tls_secret_name
from genai_operator.builders.metadata import child
from genai_operator.clients.runtime import ClientIdentity
from genai_operator.constants import COLLECTOR_COMMON_NAME, GROUP, OPERATOR_COMMON_NAME
from genai_operator.errors import OperatorError

PERIOD = timedelta(days=30)
# A certificate outlives its period by another one: pods that reload late, or an operator that is away, lose nothing.
_LIFETIME = 2 * PERIOD
# A collector runs for minutes; its certificate is in a Secret of the users' namespace.
_COLLECTOR_PERIOD = timedelta(days=1)
_CLOCK_SKEW = timedelta(hours=1)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
# Order of the P-256 group.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COMMON_NAME_LIMIT = 64  # of X.520; longer names are in the subjectAltName alone


@dataclass(frozen=True, slots=True)
class ControlCertificate:
    """A server's certificate, its key and the authority; PEM. `period` changes when they do."""

    certificate: bytes
    key: bytes
    authority: bytes
    period: int


def control_server_name(name: str, namespace: str) -> str:
    """The DNS name in the control certificate of a model's pods."""
    return f"{name}.{namespace}.control.{GROUP}"


def control_secret(model: GenAIModel, certificate: ControlCertificate) -> dict[str, Any]:
    """The manifest of the Secret that a model's pods mount."""
    name = control_tls_secret_name(model.metadata.name)
    return child(model, "v1", "Secret", name, type="kubernetes.io/tls", data=secret_data(certificate))


def secret_data(certificate: ControlCertificate) -> dict[str, str]:
    """The files of a certificate as a Secret holds them."""
    files = {"tls.crt": certificate.certificate, "tls.key": certificate.key, "ca.crt": certificate.authority}
    return {name: b64encode(content).decode("ascii") for name, content in files.items()}


class ControlAuthority:
    """The operator's certificate authority. `clock` returns the present time in UTC."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._seed = key.private_numbers().private_value.to_bytes(66, "big")
        self._pem = certificate.public_bytes(serialization.Encoding.PEM)
        self._client: tuple[int, ClientIdentity] | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `tls.crt` and `tls.key` (PEM, an elliptic-curve key).

        Raises:
            OperatorError: they are missing, unreadable, of another kind, or do not belong together.
        """
        try:
            certificate = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
            key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise OperatorError(
                f"the control CA in {folder} cannot be read: {error}; "
                "mount a Secret with tls.crt and tls.key, or set GENAI_OPERATOR_CA_DIR"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise OperatorError(f"the control CA in {folder} has no elliptic-curve key; make one on curve P-256")
        if key.public_key() != certificate.public_key():
            raise OperatorError(f"tls.crt and tls.key in {folder} do not belong together")
        return cls(certificate, key)

    def server_certificate(self, name: str, namespace: str, uid: str) -> ControlCertificate:
        """The certificate for the pods of one model: the same bytes until the model's next period."""
        offset = _spread(uid)
        period = self._period(offset)
        label = f"server|{namespace}|{name}|{uid}|{period}"
        key = self._derive_key(label)
        certificate = self._issue(
            label,
            key,
            control_server_name(name, namespace),
            starts=_EPOCH + period * PERIOD - offset,
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            subject_alternative=True,
        )
        return ControlCertificate(certificate, _pem_key(key), self._pem, period)

    def collector_certificate(self, server_name: str, uid: str) -> ControlCertificate:
        """What the collector of one profile shows to the pods of one model: the same bytes for a day, and good for two.

        Pods know it by its common name. It also says for which model's pods it is: `collector.` and their own name.
        """
        period = (self._clock() - _EPOCH) // _COLLECTOR_PERIOD
        label = f"collector|{server_name}|{uid}|{period}"
        key = self._derive_key(label)
        certificate = self._issue(
            label,
            key,
            f"collector.{server_name}",
            starts=_EPOCH + period * _COLLECTOR_PERIOD,
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            subject_alternative=True,
            common_name=COLLECTOR_COMMON_NAME,
            lifetime=2 * _COLLECTOR_PERIOD,
        )
        return ControlCertificate(certificate, _pem_key(key), self._pem, period)

    def renewal_due(self, uid: str, period: int) -> bool:
        """Whether a certificate of this period is to be replaced."""
        return self._period(_spread(uid)) != period

    def client_identity(self) -> ClientIdentity:
        """What the operator shows to pods. The same object until it is renewed; its key never leaves memory."""
        period = self._period(timedelta(0))
        if self._client is None or self._client[0] != period:
            label = f"client|{period}"
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._issue(
                label,
                key,
                OPERATOR_COMMON_NAME,
                starts=_EPOCH + period * PERIOD,
                usage=ExtendedKeyUsageOID.CLIENT_AUTH,
                subject_alternative=False,
            )
            self._client = (period, ClientIdentity(certificate, _pem_key(key), self._pem))
        return self._client[1]

    def _period(self, offset: timedelta) -> int:
        return (self._clock() + offset - _EPOCH) // PERIOD

    def _derive(self, label: str, length: int) -> bytes:
        info = f"{GROUP} control 1|{label}".encode()
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(self._seed)

    def _derive_key(self, label: str) -> ec.EllipticCurvePrivateKey:
        # 48 bytes: the bias of reducing them modulo a 256-bit order is below 2**-128 (FIPS 186-5, A.2.1).
        secret = int.from_bytes(self._derive(f"key|{label}", 48), "big") % (_P256_ORDER - 1) + 1
        return ec.derive_private_key(secret, ec.SECP256R1())

    def _issue(  # noqa: PLR0913 - what differs between the three kinds of certificates
        self,
        label: str,
        key: ec.EllipticCurvePrivateKey,
        name: str,
        *,
        starts: datetime,
        usage: x509.ObjectIdentifier,
        subject_alternative: bool,
        common_name: str = "",
        lifetime: timedelta = _LIFETIME,
    ) -> bytes:
        common_name = common_name or (name if len(name) <= _COMMON_NAME_LIMIT else f"control.{GROUP}")
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(self._derive(f"serial|{label}", 16), "big") | 1)
            .not_valid_before(starts - _CLOCK_SKEW)
            .not_valid_after(starts + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        )
        if subject_alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        return certificate.public_bytes(serialization.Encoding.PEM)


def _spread(uid: str) -> timedelta:
    """When in the period this model renews: a thousand models do not renew in the same minute."""
    return PERIOD * (int.from_bytes(sha256(uid.encode()).digest()[:4], "big") / 2**32)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
