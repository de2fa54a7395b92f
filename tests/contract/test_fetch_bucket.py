"""`genai-runtime fetch` from S3 (moto's server) and from Google Cloud Storage's protocol."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.access import Access
from support.buckets import put_bucket
from support.certificates import Authority
from support.fetching import Fetches, hello_files, read_folder
from support.file_server import FileServer, running
from support.s3_server import S3Server, s3_server

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-bucket"}
NOTES = "deep/notes #1 ä%2F.json"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket("models")
        # An object may stand for the folder, and another prefix begin as this one does.
        for name, content in {**hello_files(), "": b"", NOTES: b"{}"}.items():
            _put(f"{server.url}/models/team/hello/{quote(name)}", content)
        _put(f"{server.url}/models/team/hello-2/other.json", b"{}")
        yield server


def _put(url: str, content: bytes) -> None:
    """For everybody to read."""
    headers = {"x-amz-acl": "public-read", "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, content, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        pass


@pytest.fixture
def fetches(tmp_path: Path) -> Fetches:
    found = Fetches(tmp_path)
    found.secrets = [KEYS["AWS_SECRET_ACCESS_KEY"]]
    return found


def test_all_objects_below_a_prefix(s3: S3Server, fetches: Fetches) -> None:
    ended = fetches.run(
        "s3://models/team/hello", "--endpoint", s3.url, "--region", "eu-central-1", *fetches.secret(**KEYS)
    )
    assert ended.code == 0, ended.errors
    assert read_folder(fetches.link.resolve()) == {**hello_files(), NOTES: b"{}"}
    assert fetches.here("s3://models/team/hello", Access(s3.url, "eu-central-1", KEYS)).cached


def test_without_credentials_it_is_anonymous(s3: S3Server, fetches: Fetches) -> None:
    assert not fetches.here("s3://models/team/hello", Access(s3.url)).cached


@pytest.mark.parametrize("uri", ["s3://models/absent", "s3://absent/team"])
def test_nothing_there(s3: S3Server, fetches: Fetches, uri: str) -> None:
    assert uri in fetches.refused("ModelNotFound", uri, Access(s3.url, "", KEYS))


def test_credentials_that_are_refused(fetches: Fetches) -> None:
    with s3_server(free_calls=1) as server:
        server.make_bucket("models")
        message = fetches.refused("Unauthorized", "s3://models/team", Access(server.url, "", KEYS))
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message
    half = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}
    with pytest.raises(InvalidSettings, match="lacks the key AWS_SECRET_ACCESS_KEY"):
        fetches.here("s3://models/team", Access("", "", half))


def test_an_object_is_taken_up_where_it_broke(fetches: Fetches) -> None:
    """Against a server of our own: moto does not break connections."""
    path = "/models/hello/model.onnx.data"
    with running(FileServer()) as server:
        put_bucket(server, "/models")
        server.faults.cut[path] = [1_500_000]
        found = fetches.here("s3://models/hello", Access(server.url), patience=120.0)
        assert read_folder(found.folder) == hello_files()
        ranges = [each.range for each in server.asked(path)]
        assert len(ranges) == 2
        assert ranges[0] == ""
        assert 0 < int(ranges[1].removeprefix("bytes=").partition("-")[0]) <= 1_500_000


def test_a_private_authority(fetches: Fetches, tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path / "tls", authority.issue("localhost"))
    with running(FileServer(identity=tmp_path / "tls")) as server:
        put_bucket(server, "/models")
        assert "key ca.crt" in fetches.refused("SourceUnavailable", "s3://models/hello", Access(server.url))
        trusted = {"ca.crt": authority.certificate.decode()}
        assert not fetches.here("s3://models/hello", Access(server.url, "", trusted)).cached
        with pytest.raises(InvalidSettings, match=r"ca\.crt"):
            fetches.here("s3://models/other", Access(server.url, "", {"ca.crt": "-----BEGIN nonsense"}))


def test_a_google_service_account_signs_for_itself(fetches: Fetches) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "reader@project.example", "private_key": text}
    account |= {"private_key_id": "one", "client_id": "1", "token_uri": "https://oauth2.example.invalid/token"}
    fetches.secrets.append(text.splitlines()[1])
    with running(FileServer()) as server:
        put_bucket(server, "/models")
        fetches.here("gs://models/hello", Access(server.url, "", {"GOOGLE_SERVICE_ACCOUNT_JSON": json.dumps(account)}))
        scheme, token = server.seen[0].authorization.split(" ")
    claims = token.split(".")[1]
    assert scheme == "Bearer"
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["iss"] == "reader@project.example"


def test_google_cloud_storage(fetches: Fetches) -> None:
    with running(FileServer()) as server:
        put_bucket(server, "/models")
        found = fetches.here("gs://models/hello", Access(server.url))
        assert read_folder(found.folder) == hello_files()
        server.answers["/models"].status = 403
        message = fetches.refused("Unauthorized", "gs://models/hello", Access(server.url), refresh=True)
        assert "GOOGLE_SERVICE_ACCOUNT_JSON" in message
        with pytest.raises(InvalidSettings, match="GOOGLE_SERVICE_ACCOUNT_JSON"):
            fetches.here("gs://models/other", Access(server.url, "", {"GOOGLE_SERVICE_ACCOUNT_JSON": "{}"}))
