"""Programs in pods: what one prints, as a stream of bytes in constant memory. Which are run is the commands' matter."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from genai_kubectl.clients.kube import Kube, telling
from genai_kubectl.errors import CommandFailed
from genai_kubectl.names import CONTAINER

_STDOUT, _STDERR, _STATUS, _CLOSED = 1, 2, 3, 255
_SILENCE_SECONDS = 60.0
_STDERR_BYTES = 4096


def output_of(kube: Kube, pod: str, command: Sequence[str]) -> Iterator[bytes]:
    """Chunks of the program's stdout.

    Raises:
        CommandFailed: it cannot be started, it fails (with the end of its stderr), or says nothing for a minute.
    """
    what = " ".join(command[:4])
    socket = _open(kube, pod, command, what)
    errors, status = b"", b""
    try:
        for channel, data in _frames(socket, f"{what} in pod {pod}"):
            if channel == _STDOUT and data:
                yield data
            elif channel == _STDERR:
                errors = (errors + data)[-_STDERR_BYTES:]
            elif channel == _STATUS:
                status += data
    finally:
        socket.close()
    _check(status, errors, f"{what} in pod {pod}")


def _open(kube: Kube, pod: str, command: Sequence[str], what: str) -> Any:
    from kubernetes.stream import stream

    with kube.opening, telling(f"run {what} in pod {pod}"):
        client = stream(
            kube.websockets.connect_get_namespaced_pod_exec,
            pod,
            kube.namespace,
            container=CONTAINER,
            command=list(command),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            binary=True,
            _preload_content=False,
        )
    # The package's own reader keeps everything it has read; a trace may be as large as a pod's disk.
    client.sock.settimeout(_SILENCE_SECONDS)
    return client.sock


def _frames(socket: Any, what: str) -> Iterator[tuple[int, bytes]]:
    from websocket import ABNF, WebSocketException

    try:
        while True:
            opcode, frame = socket.recv_data_frame(True)
            if opcode == ABNF.OPCODE_CLOSE:
                return
            if opcode in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) and frame.data and frame.data[0] != _CLOSED:
                yield frame.data[0], bytes(frame.data[1:])
    except (WebSocketException, OSError) as error:
        raise CommandFailed(f"{what}: the connection broke: {error}") from None


def _check(status: bytes, errors: bytes, what: str) -> None:
    """The API server's last word is a Status object; without one the connection was cut."""
    if not status:
        raise CommandFailed(f"{what}: the connection ended before the program did")
    ended = json.loads(status)
    if ended.get("status") != "Success":
        said = errors.decode(errors="replace").strip() or str(ended.get("message", ""))
        raise CommandFailed(f"{what} failed: {said}")
