"""The cluster's certificates and kubeconfigs. Made once per cluster; keys are readable by root only.

What the certificates are used for is decided in `components.py`.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localkube import places

LIFETIME = datetime.timedelta(days=365)
# From 3.13 on Python refuses an authority that does not say what it is for, and a certificate that does not name it.
_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Identity:
    """One certificate: `user` and `group` are what the API server sees."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = field(default=())


IDENTITIES = (
    Identity(
        "apiserver",
        "kube-apiserver",
        names=(
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{places.CLUSTER_DOMAIN}",
        ),
        addresses=("127.0.0.1", places.FIRST_SERVICE_ADDRESS, places.NODE_ADDRESS),
    ),
    Identity("admin", "admin", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity(
        "kubelet",
        f"system:node:{places.NODE_NAME}",
        "system:nodes",
        names=(places.NODE_NAME,),
        addresses=("127.0.0.1", places.NODE_ADDRESS),
    ),
    Identity("kubelet-client", "apiserver-kubelet-client", "system:masters"),
    Identity("proxy", "system:kube-proxy"),
    Identity("dns", "localkube:dns", "system:masters"),
    Identity("front-proxy", "front-proxy"),
)
KUBECONFIG_USERS = ("admin", "controller-manager", "scheduler", "kubelet", "proxy", "dns")


def create(folder: Path) -> None:
    """Writes the authority, every identity's `NAME.crt` and `NAME.key`, and the service accounts' key pair into
    `folder`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{places.NAME}-ca")])
    authority = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.crt", authority.public_bytes(serialization.Encoding.PEM))
    _write(folder / "ca.key", _pem(key))
    for identity in IDENTITIES:
        own_key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / f"{identity.file}.crt", _issue(identity, own_key, authority, key))
        _write(folder / f"{identity.file}.key", _pem(own_key))
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write(folder / "service-accounts.key", _pem(accounts))
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(folder / "service-accounts.pub", public)


def kubeconfig(folder: Path, user: str) -> str:
    """A kubeconfig (JSON, which is YAML) that carries its certificates, so that it works wherever it is copied on
    this machine."""

    def embedded(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": places.NAME,
                    "cluster": {"server": places.API_URL, "certificate-authority-data": embedded("ca.crt")},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": embedded(f"{user}.crt"),
                        "client-key-data": embedded(f"{user}.key"),
                    },
                }
            ],
            "contexts": [{"name": places.NAME, "context": {"cluster": places.NAME, "user": user}}],
            "current-context": places.NAME,
        },
        indent=1,
    )


def _issuer_key(signer: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())


def _issue(
    identity: Identity, key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey
) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
    if identity.group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names or (identity.file,)]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(x509.Name(attributes), authority.subject, key)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_issuer_key(signer), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    # kube components read PKCS#8 and the traditional form alike
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
