"""HTTP to a pod through a port-forward of the API server: one connection, with TLS where the pod speaks it.

What is asked, and what an answer means, is `decisions.chat_stream`'s.
"""

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from genai_kubectl.clients.kube import Kube, telling
from genai_kubectl.errors import CommandFailed

_SILENCE_SECONDS = 300.0
_END_SECONDS = 2.0
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Access:
    """How a model's HTTP port is spoken to. `server_name`: empty for plain HTTP."""

    server_name: str = ""
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True
    api_key: str = ""

    def tls(self) -> ssl.SSLContext | None:
        """The context; None for plain HTTP. Raises `CommandFailed` for files that cannot be used."""
        if not self.server_name:
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.authority) if self.authority else None)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(each) for each in (self.authority, self.certificate, self.key) if each)
            raise CommandFailed(f"cannot use the certificate files {files}: {error}") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class PodHttp:
    """One kept-alive connection to a port of a pod."""

    def __init__(self, kube: Kube, pod: str, port: int, access: Access) -> None:
        self._pod = pod
        self._api_key = access.api_key
        self._forward = _forward(kube, pod, port)
        self._port = port
        connected = socket.socket(fileno=self._forward.socket(port).detach())
        connected.settimeout(_SILENCE_SECONDS)
        self._http = http.client.HTTPConnection(access.server_name or "localhost")
        self._http.auto_open = 0  # a connection of its own would go to this machine, not to the pod
        context = access.tls()
        try:
            self._http.sock = (
                context.wrap_socket(connected, server_hostname=access.server_name) if context else connected
            )
        except (OSError, ssl.SSLError) as error:
            _end(connected)
            raise CommandFailed(f"no TLS with pod {pod}: {error}; name its authority by --ca") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it what runs for it in the pod."""
        connected = self._http.sock
        if connected is not None:
            _end(connected)
        self._http.close()

    def post_events(self, path: str, body: Mapping[str, Any]) -> Iterator[str]:
        """The `data:` of each event of a streamed answer.

        Raises:
            CommandFailed: the pod answers anything but 200, or the connection breaks.
        """
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        try:
            self._http.request("POST", path, body=json.dumps(body), headers=headers)
            answer = self._http.getresponse()
            if answer.status != http.client.OK:
                raise CommandFailed(self._refused(answer.status, answer.read()))
            while line := answer.readline():
                if line.startswith(b"data:"):
                    yield line[5:].strip().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            said = self._forward.error(self._port) or error
            raise CommandFailed(f"pod {self._pod}: the connection broke: {said}") from None

    def _refused(self, status: int, body: bytes) -> str:
        try:
            said = json.loads(body)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            said = body.decode(errors="replace")[:300].strip()
        remedy = "; give a key by --api-key-file or GENAI_API_KEY" if status == http.client.UNAUTHORIZED else ""
        return f"pod {self._pod} answers {status}: {said}{remedy}"


def _end(connected: socket.socket) -> None:
    """Ends our side and reads until the forward has ended its own: closed with data unread, it would break instead."""
    with contextlib.suppress(OSError):
        connected.settimeout(_END_SECONDS)
        connected.shutdown(socket.SHUT_WR)
        while connected.recv(_PIECE_BYTES):
            pass
    connected.close()


def _forward(kube: Kube, pod: str, port: int) -> Any:
    from kubernetes.stream import portforward

    if threading.excepthook is not _without_broken_forwards:
        threading.excepthook = _without_broken_forwards

    with kube.opening, telling(f"forward port {port} of pod {pod}"):
        return portforward(kube.websockets.connect_get_namespaced_pod_portforward, pod, kube.namespace, ports=str(port))


_THREAD = "Kubernetes port forward proxy"


def _without_broken_forwards(failed: threading.ExceptHookArgs) -> None:
    """The package's thread dies of a connection that ends early. Who reads from it tells the user, in one sentence."""
    name = failed.thread.name if failed.thread else ""
    if not (name.startswith(_THREAD) and isinstance(failed.exc_value, OSError)):
        threading.__excepthook__(failed)
