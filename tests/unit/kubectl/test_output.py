"""What is printed beside results: progress on terminals only, and never as markup; formats that programs read."""

import io
import json
import sys

import pytest
import yaml

from genai_kubectl.options import Format
from genai_kubectl.output import pairs, progress, structured


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def bar(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, said: str) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress() as shown:
        shown.add_task("hello-1", total=2, said=said)
        shown.refresh()
    return stream.getvalue()


def test_brackets_of_a_message_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a[red] [/nope]" in bar(monkeypatch, Terminal(), "a[red] [/nope]")


def test_no_bar_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar(monkeypatch, io.StringIO(), "x") == ""


@pytest.mark.parametrize(("chosen", "read"), [(Format.JSON, json.loads), (Format.YAML, yaml.safe_load)])
def test_json_and_yaml_are_read_back(capsys: pytest.CaptureFixture[str], chosen: Format, read: object) -> None:
    value = {"a": [1, None, True], "ü": "ä: [b]", "time": "2026-01-01T00:00:00Z"}
    assert structured(value, chosen)
    assert callable(read)
    assert read(capsys.readouterr().out) == value


@pytest.mark.parametrize("chosen", [Format.TABLE, Format.WIDE, Format.NAME])
def test_other_formats_are_the_commands_own(capsys: pytest.CaptureFixture[str], chosen: Format) -> None:
    assert not structured({}, chosen)
    assert capsys.readouterr().out == ""


def test_pairs_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    pairs({"a": 0, "long": "x", "none": None, "empty": ""})
    assert capsys.readouterr().out == "a      0\nlong   x\n"
