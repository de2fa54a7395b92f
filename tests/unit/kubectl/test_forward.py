"""A port-forward that breaks: its reader tells the user; the package's own thread must not add a traceback."""

import threading

import pytest

from genai_kubectl.clients.forward import _without_broken_forwards


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
