"""A port-forward that breaks: its reader tells the user; the package's own thread must not add a traceback."""

import select
import socket
import threading

import pytest
from kubernetes.stream.ws_client import PortForward

from genai_kubectl.clients.forward import _end, _without_broken_forwards


def ended(thread: str, error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    args = (type(error), error, None, threading.Thread(name=thread))
    _without_broken_forwards(threading.ExceptHookArgs(args))
    return capsys.readouterr().err


def test_a_broken_forward_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("Kubernetes port forward proxy: 8080", ConnectionResetError("reset"), capsys) == ""


@pytest.mark.parametrize(
    ("thread", "error"),
    [("Kubernetes port forward proxy: 8080", ValueError("a fault")), ("another", ConnectionResetError("reset"))],
)
def test_any_other_failure_of_a_thread_is_shown(
    capsys: pytest.CaptureFixture[str], thread: str, error: BaseException
) -> None:
    assert str(error) in ended(thread, error, capsys)


class Websocket:
    """As much of a websocket as the package's port-forward needs; it never receives."""

    def __init__(self) -> None:
        self.sock, self._other = socket.socketpair()
        self.connected = True

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.connected = False
        self.sock.close()
        self._other.close()


def test_the_packages_own_thread_ends_well_though_an_answer_was_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    websocket = Websocket()
    forwarded = PortForward(websocket, [8080])
    (thread,) = [each for each in threading.enumerate() if each.name.startswith("Kubernetes port forward proxy")]
    ours = socket.socket(fileno=forwarded.socket(8080).detach())
    forwarded.local_ports[8080].data = b"unread" * 1000
    ours.sendall(b"a request")  # wakes the thread, which then hands over the answer
    select.select([ours], [], [], 10)
    _end(ours)
    thread.join(10)
    assert not thread.is_alive()
    assert (broken, websocket.connected) == ([], False)
