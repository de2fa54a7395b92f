"""Where the system knows no certificate authority, as in the image, a bucket can be used all the same."""

import os
from pathlib import Path

import pytest

from genai_runtime.collector.authorities import have_authorities
from genai_runtime.collector.bucket import BucketOutput


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))


def test_a_client_is_made_without_the_systems_authorities(bare: None) -> None:
    BucketOutput("traces", "a", "", "", {})
    assert b"BEGIN CERTIFICATE" in Path(os.environ["SSL_CERT_FILE"]).read_bytes()


def test_authorities_that_somebody_named_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    have_authorities()
    assert os.environ["SSL_CERT_FILE"] == str(own)
