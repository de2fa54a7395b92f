"""Where the system knows no certificate authority, as in the image, a bucket can be used all the same."""

import os
from pathlib import Path

import pytest

from genai_runtime.authorities import have_authorities
from genai_runtime.collector.bucket import BucketOutput


@pytest.fixture(params=["nothing", "empty"])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / request.param))


def test_a_client_is_made_without_the_systems_authorities(bare: None) -> None:
    BucketOutput("traces", "a", "", "", {})
    assert b"BEGIN CERTIFICATE" in Path(os.environ["SSL_CERT_FILE"]).read_bytes()


def test_authorities_that_somebody_named_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    have_authorities()
    assert os.environ["SSL_CERT_FILE"] == str(own)
