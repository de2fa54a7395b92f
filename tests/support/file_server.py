"""A web server in this process that gives bytes as real ones do, with ranges, and misbehaves where a test says so.

What the bytes are and at which paths is the test's, or that of a server of a protocol on top (`hub_server.py`).
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_CHUNK = 16 << 10
_HOLD_SECONDS = 900.0


@dataclass(frozen=True)
class Seen:
    """A request: without its query."""

    path: str
    range: str
    authorization: str


@dataclass
class Answer:
    """What is at a path. `ranges`: whether it can be had from an offset on."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    length: bool = True


@dataclass
class Faults:
    """By path. `cut`: after how many bytes the connection ends, once each; `hold`: after how many bytes it stalls until
    `release`; `refuse`: with which status, once each."""

    cut: dict[str, list[int]] = field(default_factory=dict)
    hold: dict[str, int] = field(default_factory=dict)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)


class FileServer:
    """`host`: what it is bound to. `token`: what a client must show as a bearer, empty for nobody; `url` is without a
    slash. `identity`: a folder with tls.crt and tls.key of localhost; None: plain HTTP.
    """

    def __init__(self, host: str = "127.0.0.1", identity: Path | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.sent: dict[str, int] = {}
        self.token = ""
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        if identity is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(identity / "tls.crt", identity / "tls.key")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://localhost:{self.port}"

    def put(self, path: str, content: bytes, **headers: str) -> None:
        """At `path`; a header's name has underscores for dashes."""
        self.answers[path] = Answer(content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def asked(self, path: str) -> list[Seen]:
        """The requests for it, in their order."""
        with self.lock:
            return [each for each in self.seen if each.path == path]

    def answer(self, path: str, authorization: str) -> Answer:
        """Overridden where more than `answers` is known."""
        if self.token and authorization != f"Bearer {self.token}":
            return Answer(status=401)
        return self.answers.get(path) or Answer(status=404)

    def close(self) -> None:
        """Ends its threads' waiting as well."""
        self.faults.release.set()
        self._server.shutdown()
        self._server.server_close()

    def run(self) -> None:
        """Until `close`."""
        self._server.serve_forever(poll_interval=0.05)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    _Exchange(server, self).run()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


class _Exchange:
    def __init__(self, server: FileServer, handler: BaseHTTPRequestHandler) -> None:
        self._server = server
        self._handler = handler
        self._path = unquote(urlsplit(handler.path).path)
        self._range = handler.headers.get("Range", "")
        self._authorization = handler.headers.get("Authorization", "")

    def run(self) -> None:
        server, path = self._server, self._path
        with server.lock:
            server.seen.append(Seen(path, self._range, self._authorization))
            refused = server.faults.refuse.get(path, [])
            status = refused.pop(0) if refused else 0
            cuts = server.faults.cut.get(path, [])
            cut = cuts.pop(0) if cuts else None
        answer = Answer(status=status) if status else server.answer(path, self._authorization)
        start = self._start(answer)
        if start and start >= len(answer.content):
            answer, start = Answer(status=416), 0
        self._head(answer, start)
        self._body(answer.content[start:], cut)

    def _start(self, answer: Answer) -> int:
        if not answer.ranges or answer.status != 200 or not self._range.startswith("bytes="):
            return 0
        wanted = self._handler.headers.get("If-Range", "")
        if wanted and wanted not in answer.headers.values():
            return 0
        return int(self._range.removeprefix("bytes=").partition("-")[0])

    def _head(self, answer: Answer, start: int) -> None:
        handler, total = self._handler, len(answer.content)
        handler.send_response(206 if start else answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if answer.length:
            handler.send_header("Content-Length", str(total - start))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()

    def _body(self, content: bytes, cut: int | None) -> None:
        hold = self._server.faults.hold.get(self._path)
        sent = 0
        while sent < len(content):
            if hold is not None and sent >= hold:
                self._handler.wfile.flush()
                self._server.faults.release.wait(_HOLD_SECONDS)
            if cut is not None and sent >= cut:
                self._handler.close_connection = True
                self._handler.wfile.flush()
                self._handler.connection.shutdown(2)
                return
            upto = min([len(content), sent + _CHUNK, *(each for each in (cut, hold) if each and each > sent)])
            self._handler.wfile.write(content[sent:upto])
            with self._server.lock:
                self._server.sent[self._path] = self._server.sent.get(self._path, 0) + upto - sent
            sent = upto


@contextlib.contextmanager
def running(server: FileServer) -> Iterator[FileServer]:
    """While the block runs."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=30)


def wait_for(condition: "object", seconds: float = 120.0) -> None:
    """Until `condition`, a callable, is true; raises TimeoutError."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(repr(condition))
        time.sleep(0.05)
