"""moto's S3 server as a process of its own, for tests that write to a bucket."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import obstore
from obstore.store import S3Store

from support.ports import free_port

_START_SECONDS = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running one. `url` is its endpoint."""

    url: str

    def make_bucket(self, name: str) -> None:
        """Without credentials."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT"), timeout=10):
            pass

    def get(self, bucket: str, key: str) -> tuple[bytes, str]:
        """An object's bytes and content type; raises FileNotFoundError."""
        store = S3Store(
            bucket,
            endpoint=self.url,
            region="us-east-1",
            access_key_id="any",
            secret_access_key="any",
            client_options={"allow_http": True},
        )
        found = obstore.get(store, key)
        return bytes(found.bytes()), found.attributes["Content-Type"]


@contextlib.contextmanager
def s3_server(*, host: str = "127.0.0.1", free_calls: int | None = None) -> Iterator[S3Server]:
    """Without `free_calls` everybody may everything; with it, after so many calls only known credentials may."""
    port = free_port()
    environment = dict(os.environ)
    if free_calls is not None:
        environment["INITIAL_NO_AUTH_ACTION_COUNT"] = str(free_calls)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from moto.server import main; main()",
        "-H",
        host,
        "-p",
        str(port),
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://{host}:{port}"
        _wait(process, url)
        yield S3Server(url)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "moto's server ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
            return
        time.sleep(0.1)
    raise TimeoutError("moto's server does not answer")
