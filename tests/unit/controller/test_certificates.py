"""Control certificates: reproducible, for one model only, renewed by the calendar."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from genai_operator.errors import OperatorError
from genai_operator.services.certificates import PERIOD, ControlAuthority
from support.control_ca import make_ca, write_ca

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CA = make_ca()
UID = "5f0c7a9e-0000-4000-8000-000000000001"


def authority(now: datetime = NOON) -> ControlAuthority:
    return ControlAuthority(*CA, clock=lambda: now)


def server(name: str = "hello", namespace: str = "team", uid: str = UID, now: datetime = NOON) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority(now).server_certificate(name, namespace, uid).certificate)


def test_another_process_with_the_same_authority_makes_the_same_bytes() -> None:
    assert authority().server_certificate("hello", "team", UID) == authority().server_certificate("hello", "team", UID)


@pytest.mark.parametrize(
    "other",
    [("hullo", "team", UID), ("hello", "crew", UID), ("hello", "team", UID[:-1] + "2")],
    ids=["name", "namespace", "uid"],
)
def test_another_model_has_another_key_and_serial_number(other: tuple[str, str, str]) -> None:
    first, second = server(), server(*other)
    assert first.public_key() != second.public_key()
    assert first.serial_number != second.serial_number


def test_another_authority_makes_another_key() -> None:
    foreign = ControlAuthority(*make_ca(), clock=lambda: NOON).server_certificate("hello", "team", UID)
    assert foreign.key != authority().server_certificate("hello", "team", UID).key


def test_the_certificate_is_signed_by_the_authority_fits_its_key_and_serves_one_name_only() -> None:
    made = authority().server_certificate("hello", "team", UID)
    certificate = x509.load_pem_x509_certificate(made.certificate)
    key = serialization.load_pem_private_key(made.key, password=None)
    certificate.verify_directly_issued_by(CA[0])
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate.public_key()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hello.team.control.genai-operator.io"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_longest_names_fit() -> None:
    certificate = server("m" * 52, "n" * 63)
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(str(common_name)) <= 64
    assert names.get_values_for_type(x509.DNSName) == [f"{'m' * 52}.{'n' * 63}.control.genai-operator.io"]


def test_a_model_renews_once_a_period_and_both_certificates_overlap_for_a_period() -> None:
    days = [NOON + timedelta(days=day) for day in range(61)]
    certificates = [server(now=day) for day in days]
    assert len({each.serial_number for each in certificates}) in (2, 3)
    for day, certificate in zip(days, certificates, strict=True):
        assert certificate.not_valid_before_utc <= day
        assert certificate.not_valid_after_utc - day >= PERIOD


def test_models_do_not_renew_at_the_same_time() -> None:
    starts = {server(uid=f"uid-{number}").not_valid_before_utc for number in range(50)}
    assert len(starts) == 50


def test_the_clients_certificate_is_the_operators_for_clients_only_and_kept_until_it_is_renewed() -> None:
    now = NOON
    made = ControlAuthority(*CA, clock=lambda: now)
    identity = made.client_identity()
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    assert certificate.subject.rfc4514_string() == "CN=genai-operator"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.client_identity() is identity
    now += PERIOD
    assert made.client_identity() is not identity


def test_the_authority_is_read_from_its_folder(tmp_path: Path) -> None:
    made = ControlAuthority.load(write_ca(tmp_path)).server_certificate("hello", "team", UID)
    assert made.authority == (tmp_path / "tls.crt").read_bytes()


def test_an_authority_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="GENAI_OPERATOR_CA_DIR"):
        ControlAuthority.load(tmp_path)
    write_ca(tmp_path / "one")
    write_ca(tmp_path / "two")
    (tmp_path / "one" / "tls.key").write_bytes((tmp_path / "two" / "tls.key").read_bytes())
    with pytest.raises(OperatorError, match="do not belong together"):
        ControlAuthority.load(tmp_path / "one")
