"""Folders and buckets (a real S3 server's): files arrive whole, and every failure names place and remedy, no secret."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genai_runtime.collector.errors import CollectionFailed
from genai_runtime.collector.outputs import output_of
from support.ports import free_port
from support.s3_server import S3Server, s3_server

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-bucket",
    "AWS_SESSION_TOKEN": "a-secret-session",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket("traces")
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(9_000_000))  # more than one part of an upload
    return path


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """An HTTP server with one answer, at this endpoint."""

    class Answer(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def refusal(url: str, endpoint: str = "", region: str = "", environment: dict[str, str] | None = None) -> str:
    with pytest.raises(CollectionFailed) as caught:
        output_of(url, endpoint, region, environment or {})
    return caught.value.message


def test_a_folder_is_made_and_its_files_are_replaced(tmp_path: Path, source: Path) -> None:
    output = output_of(f"file://{tmp_path}/a/b", "", "", {})
    output.write(source, "t", "text/plain")
    source.write_bytes(b"new")
    assert output.write(source, "t", "text/plain") == f"file://{tmp_path}/a/b/t"
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a" / "b").iterdir()] == [("t", b"new")]


def test_a_folder_that_cannot_be_written(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CollectionFailed, match=r"file/b/t cannot be written: Not a directory; make room"):
        output_of(f"file://{tmp_path}/file/b", "", "", {}).write(source, "t", "text/plain")


def test_a_full_disk_leaves_nothing(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(CollectionFailed, match="No space left on device"):
        output_of(f"file://{tmp_path}/out", "", "", {}).write(source, "t", "text/plain")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("environment", [{}, KEYS])
def test_a_bucket(s3: S3Server, source: Path, environment: dict[str, str]) -> None:
    output = output_of("s3://traces/team/slow/", s3.url, "eu-central-1", environment)
    assert output.write(source, "report.html", "text/html; charset=utf-8") == "s3://traces/team/slow/report.html"
    found, content_type = s3.get("traces", "team/slow/report.html")
    assert (found == source.read_bytes(), content_type) == (True, "text/html; charset=utf-8")


def test_the_top_of_a_bucket(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"x")
    assert output_of("s3://traces", s3.url, "", {}).write(tmp_path / "t", "t", "text/plain") == "s3://traces/t"
    assert s3.get("traces", "t")[0] == b"x"


def test_no_such_bucket(s3: S3Server, source: Path) -> None:
    output = output_of("s3://absent/a", s3.url, "", KEYS)
    with pytest.raises(CollectionFailed) as caught:
        output.write(source, "t", "text/plain")
    assert f"s3://absent/a/t at {s3.url} cannot be written (NoSuchBucket): there is no such" in caught.value.message


def test_credentials_that_are_wrong_are_not_repeated(source: Path) -> None:
    with s3_server(free_calls=1) as server:
        server.make_bucket("traces")
        with pytest.raises(CollectionFailed) as caught:
            output_of("s3://traces/a", server.url, "", KEYS).write(source, "t", "text/plain")
    told = caught.value
    assert "correct the Secret" in told.message or "allow s3:PutObject" in told.message
    assert told.__cause__ is None
    assert not [value for value in KEYS.values() if value in repr(told)]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (301, "", "give its region"),
        (400, "", "the server answers 400"),
        (400, "<Code>ExpiredToken</Code>", "AWS_SESSION_TOKEN has expired"),
        (401, "", "the server wants credentials"),
        (403, "", "allow s3:PutObject"),
        (403, "<Code>SignatureDoesNotMatch</Code>{}", "does not fit AWS_ACCESS_KEY_ID"),
        (404, "", "there is no such bucket"),
        (409, "<Code>{}</Code>", "the server answers 409"),
    ],
)
def test_answers_are_told_with_what_helps_and_not_repeated(source: Path, status: int, body: str, said: str) -> None:
    source.write_bytes(b"small")
    repeated = " ".join(KEYS.values())
    answer = body.replace("{}", f"x-amz-security-token:{repeated}")
    with answering(status, answer) as endpoint, pytest.raises(CollectionFailed) as caught:
        output_of("s3://traces/a", endpoint, "", KEYS).write(source, "t", "text/plain")
    assert said in caught.value.message
    assert caught.value.message.startswith(f"s3://traces/a/t at {endpoint} cannot be written")
    assert not [value for value in KEYS.values() if value in repr(caught.value)]


def test_a_server_that_is_not_there(source: Path) -> None:
    source.write_bytes(b"small")
    output = output_of("s3://traces/a", f"http://127.0.0.1:{free_port()}", "", {})
    with pytest.raises(CollectionFailed, match="does not answer; check the endpoint"):
        output.write(source, "t", "text/plain")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no place for files"),
        ("/tmp/x", "is no place for files"),
        ("file://host/x", "is no place for files"),
        ("https://x/y", "is no place for files"),
        ("file:///output/../etc", "may not hold"),
        ("s3://traces/../x", "may not hold"),
        ("s3:///x", "no bucket's name"),
        ("s3://user:pass@traces/x", "no bucket's name"),
        ("s3://A/x", "no bucket's name"),
        ("s3://traces/a\nb", "cannot be printed"),
    ],
)
def test_urls_of_other_forms(url: str, said: str) -> None:
    assert said in refusal(url)


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://", "http://[x", "http://minio:0"])
def test_endpoints_of_other_forms(endpoint: str) -> None:
    assert "http://HOST:PORT" in refusal("s3://traces/a", endpoint)


def test_credentials_do_not_belong_into_the_endpoint() -> None:
    assert "hunter2" not in refusal("s3://traces/a", "http://me:hunter2@minio:9000")


def test_half_a_pair_of_credentials() -> None:
    said = refusal("s3://traces/a", environment={"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"})
    assert said.startswith("AWS_SECRET_ACCESS_KEY is not set")
    assert "AKIAEXAMPLE" not in said


def test_a_regions_name() -> None:
    assert "no region's name" in refusal("s3://traces/a", region="EU\n")
