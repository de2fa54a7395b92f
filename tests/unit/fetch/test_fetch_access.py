"""Credentials of sources, and whom their servers are trusted by."""

from pathlib import Path

import pytest

from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.access import Access, read_secrets
from support.certificates import Authority


def test_keys_that_sources_know_are_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secret\n")
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("AKIA")
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("")
    (tmp_path / "unknown").write_text("x")
    secrets = read_secrets(tmp_path)
    assert secrets == {"token": "hf_secret", "AWS_ACCESS_KEY_ID": "AKIA"}
    access = Access("", "", secrets)
    assert access.secret("token") == "hf_secret"
    assert access.secret(".dockerconfigjson") == ""
    assert "hf_secret" not in repr(access)
    assert read_secrets(None) == {}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("token", b"two words", "not one word"),
        ("token", b"a\nInjected: header", "not one word"),
        ("token", "ö".encode(), "not one word"),
        ("ca.crt", b"\xff\xfe", "is not text"),
        ("ca.crt", b"x" * (1 << 21), "larger than 1 MiB"),
        ("other", b"x", "none of the keys"),
    ],
)
def test_secrets_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSettings, match=words) as caught:
        read_secrets(tmp_path)
    assert "Injected" not in caught.value.message


def test_a_folder_that_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"spec\.model\.secretName"):
        read_secrets(tmp_path / "absent")


def test_public_authorities_are_known_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    public = Access().trust().cert_store_stats()["x509_ca"]
    assert public > 50
    own = Access("", "", {"ca.crt": Authority().certificate.decode()}).trust()
    assert own.cert_store_stats()["x509_ca"] == public + 1
    with pytest.raises(InvalidSettings, match=r"ca\.crt of the Secret is no PEM certificate"):
        Access("", "", {"ca.crt": "nonsense"}).trust()
