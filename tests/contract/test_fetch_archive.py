"""`genai-runtime fetch` of an archive over HTTPS and HTTP: unpacked, resumed, and refused where it is not safe."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.fetch.access import Access
from support.archives import tar, zipped
from support.buckets import put_bucket
from support.certificates import Authority
from support.fetching import Fetches, hello_files, read_folder
from support.file_server import FileServer, running, wait_for

TOKEN = "a-token-of-the-web-server"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with running(FileServer()) as found:
        yield found


@pytest.fixture
def fetches(tmp_path: Path) -> Fetches:
    found = Fetches(tmp_path)
    found.secrets = [TOKEN]
    return found


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "zip"])
def test_archives_of_each_kind(server: FileServer, fetches: Fetches, ending: str) -> None:
    files = hello_files()
    # As they are often made: everything is in one folder, whose name does not matter.
    inside = {f"hello-1.0/{name}": data for name, data in files.items()}
    server.put(
        f"/m/hello.{ending}", zipped(inside) if ending == "zip" else tar(inside, "w" if ending == "tar" else "w:gz")
    )
    found = fetches.here(f"https://example.com/m/hello.{ending}", Access(server.url))
    assert read_folder(found.folder) == files
    assert fetches.partial_bytes() == 0


def test_an_end_in_the_middle_costs_what_was_in_flight(server: FileServer, fetches: Fetches) -> None:
    files, path = hello_files(), "/hello.tar"
    archive = tar(files, "w")
    server.put(path, archive, ETag='"one"')
    server.faults.hold[path] = 1 << 20
    uri = "https://example.com/hello.tar"
    with fetches.running(uri, "--endpoint", server.url) as process:
        wait_for(lambda: server.sent.get(path, 0) >= 1 << 20 and fetches.partial_bytes() > 1 << 19)
        process.terminate()
        assert process.wait(60) == 143
    there = fetches.partial_bytes()
    server.faults.hold.clear()
    server.faults.release.set()
    assert read_folder(fetches.here(uri, Access(server.url)).folder) == files
    assert server.asked(path)[-1].range == f"bytes={there}-"


def test_what_changed_meanwhile_is_fetched_from_its_beginning(server: FileServer, fetches: Fetches) -> None:
    files, path, uri = hello_files(), "/hello.tar", "https://example.com/hello.tar"
    server.put(path, tar({**files, "old.json": b"{}"}, "w"), ETag='"one"')
    server.faults.cut[path] = [10_000_000, 500_000]  # the first request is for the headers alone
    fetches.refused("SourceUnavailable", uri, Access(server.url))
    assert fetches.partial_bytes() > 0
    server.put(path, tar(files, "w"), ETag='"two"')
    assert read_folder(fetches.here(uri, Access(server.url)).folder) == files


def test_without_ranges_or_a_length_it_comes_all_the_same(server: FileServer, fetches: Fetches) -> None:
    files, path = hello_files(), "/hello.tgz"
    server.put(path, tar(files))
    server.answers[path].ranges = server.answers[path].length = False
    found = fetches.here("https://example.com/hello.tgz", Access(server.url), max_bytes=8 << 20)
    assert read_folder(found.folder) == files
    other = "https://example.com/./hello.tgz".replace("/./", "/again/")
    server.answers["/again/hello.tgz"] = server.answers[path]
    assert "8" in fetches.refused("ModelTooLarge", other, Access(server.url), max_bytes=800_000)


def test_a_token_and_a_private_authority(fetches: Fetches, tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path / "tls", authority.issue("localhost"))
    with running(FileServer(identity=tmp_path / "tls")) as server:
        server.token = TOKEN
        server.put("/hello.tgz", tar(hello_files()))
        uri = f"{server.url}/hello.tgz"
        assert "key ca.crt" in fetches.refused("SourceUnavailable", uri)
        trusted = {"ca.crt": authority.certificate.decode()}
        assert "key token" in fetches.refused("Unauthorized", uri, Access("", "", trusted))
        assert not fetches.here(uri, Access("", "", {**trusted, "token": TOKEN})).cached


def test_through_the_environments_proxy(server: FileServer, fetches: Fetches, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is asked for the whole URL, whose path is all that our server looks at."""
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    away = Access("http://models.example.invalid")
    server.put("/hello.tgz", tar(hello_files()))
    put_bucket(server, "/models")
    uris = ("https://example.com/hello.tgz", "s3://models/hello")
    for uri in uris:
        fetches.refused("SourceUnavailable", uri, away)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    for uri in uris:
        assert read_folder(fetches.here(uri, away).folder) == hello_files()


def test_redirects_are_few_and_never_leave_https(fetches: Fetches, server: FileServer, tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path / "tls", authority.issue("localhost"))
    trusted = Access("", "", {"ca.crt": authority.certificate.decode()})
    with running(FileServer(identity=tmp_path / "tls")) as secure:
        server.put("/hello.tgz", tar(hello_files()))
        for path, location in (("/plain.tgz", f"{server.url}/hello.tgz"), ("/loop.tgz", "/loop.tgz")):
            secure.put(path, b"", Location=location)
            secure.answers[path].status = 302
        assert "not followed" in fetches.refused("SourceUnavailable", f"{secure.url}/plain.tgz", trusted)
        assert server.seen == []
        assert "redirects more than" in fetches.refused("SourceUnavailable", f"{secure.url}/loop.tgz", trusted)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (tar({"../outside": b"x"}), "leads out"),
        (tar({"/tmp/outside": b"x"}), "leads out"),
        (tar({}, links={"model.onnx": "/etc/passwd"}), "is a link"),
        (tar({"model.onnx": os.urandom(5000)})[:2000], "cannot be read"),
        (b"<html>not found</html>", "cannot be read"),
        (tar({"genai_config.json": b"{}"}), "genai_config.json"),
    ],
    ids=["parent", "absolute", "link", "cut-off", "page", "no-model"],
)
def test_archives_that_are_not_used(server: FileServer, fetches: Fetches, archive: bytes, words: str) -> None:
    server.put("/hello.tgz", archive, ETag=f'"{hashlib.sha256(archive).hexdigest()}"')
    uri = "https://example.com/hello.tgz"
    message = fetches.refused("ModelInvalid", uri, Access(server.url))
    assert words in message
    assert uri in message or "genai_config" in message
    assert fetches.models() == []
    assert not (fetches.folder / "outside").exists()
    asked = len(server.seen)
    fetches.refused("ModelInvalid", uri, Access(server.url))
    assert len(server.seen) == asked + 1  # for its version; the bytes are still there


def test_more_comes_out_than_is_allowed(server: FileServer, fetches: Fetches) -> None:
    archive = tar({"model.onnx": bytes(50 << 20)})
    server.put("/hello.tgz", archive)
    message = fetches.refused("ModelTooLarge", "https://example.com/hello.tgz", Access(server.url), max_bytes=1 << 20)
    assert "spec.model.maxBytes" in message
    assert fetches.models() == []


def test_nothing_there(server: FileServer, fetches: Fetches) -> None:
    assert "404" in fetches.refused("ModelNotFound", "https://example.com/absent.tgz", Access(server.url))


def test_nobody_listens(fetches: Fetches) -> None:
    server = FileServer()
    server._server.server_close()
    message = fetches.refused("SourceUnavailable", "https://example.com/hello.tgz", Access(server.url))
    assert "cannot be reached" in message
