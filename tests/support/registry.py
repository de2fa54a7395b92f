"""A container registry as a process of its own, the one that registries are made of, for tests that pull models."""

import base64
import contextlib
import gzip
import hashlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localkube import binaries
from support.ports import free_port

USER, PASSWORD = "puller", "a-password-of-the-registry"
_HASH = "$2b$04$NYgFNLajRsnjfxPHEFdci.95A2N8De2M75xWAkczdvrDQd7NVF0aS"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
# What ORAS calls a file's layer unless it is told otherwise.
FILE_LAYER = "application/vnd.oci.image.layer.v1.tar"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TITLE = "org.opencontainers.image.title"
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Layer:
    """Content as it is stored, and what a manifest says of it."""

    content: bytes
    media_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """A running one at `host`; `log` is its file of requests. `authorization`: what pushing needs."""

    host: str
    log: Path
    authorization: str

    def push(self, repository: str, layers: list[Layer], tag: str = "latest") -> str:
        """An artifact; returns its digest."""
        config = self._blob(repository, b"{}", "application/vnd.oci.empty.v1+json")
        described = [
            {**self._blob(repository, each.content, each.media_type), "annotations": dict(each.annotations)}
            for each in layers
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described}
        return self.push_manifest(repository, manifest, tag)

    def push_manifest(self, repository: str, manifest: dict[str, Any], tag: str) -> str:
        """A manifest or an index whose parts are there; returns its digest."""
        body = json.dumps(manifest).encode()
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", body, manifest["mediaType"])
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"")
        separator = "&" if "?" in place else "?"
        self._send("PUT", f"{place}{separator}digest={digest}", content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _send(self, method: str, path: str, body: bytes, kind: str = "application/octet-stream") -> str:
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        headers = {"Content-Type": kind} | ({"Authorization": self.authorization} if self.authorization else {})
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.headers.get("Location", ""))


def files_of(files: Mapping[str, bytes]) -> list[Layer]:
    """A layer a file, as `oras push` makes them."""
    return [Layer(content, FILE_LAYER, {TITLE: name}) for name, content in files.items()]


@contextlib.contextmanager
def registry(folder: Path, auth: Mapping[str, Any] | None = None, authorization: str = "") -> Iterator[Registry]:
    """Its data and log are in `folder`. `auth`: that part of its configuration."""
    program = binaries.build((binaries.REGISTRY,)) / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, "secret": "none"},
    } | ({"auth": auth} if auth else {})
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    log = folder / "registry.log"
    with log.open("wb") as output:
        command = [str(program), "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait(process, host, log)
        yield Registry(host, log, authorization)
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def private_registry(folder: Path) -> Iterator[Registry]:
    """One that takes USER and PASSWORD alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
    auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with registry(folder, auth, f"Basic {basic}") as found:
        yield found


def docker_config(host: str) -> str:
    """As `kubectl create secret docker-registry` makes it."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {host: {"username": USER, "password": PASSWORD, "auth": auth}}})


def packed(archive: bytes) -> bytes:
    """A tar archive as an image's layer."""
    return gzip.compress(archive, mtime=0)


def _wait(process: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the registry does not answer")
