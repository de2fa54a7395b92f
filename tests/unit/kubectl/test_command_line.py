"""The command line without a cluster: usage errors, exit codes, formats, completion, and the names it shares."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from genai_kubectl import __version__, names
from genai_kubectl.__main__ import main
from genai_kubectl.app import app
from genai_kubectl.options import Common, Format, grouped
from genai_operator import constants
from genai_operator.api.options_spec import RuntimeOptionsSpec
from genai_operator.builders.pod import CONTAINER

NEEDS_A_CLUSTER = {
    "halt": ["halt", "hello"],
    "resume": ["resume", "hello"],
    "drain": ["drain", "hello"],
    "cancel": ["cancel", "hello", "--request-id", "r"],
    "logs-level": ["logs-level", "hello", "debug"],
    "tune": ["tune", "hello"],
    "why": ["why", "hello"],
    "top": ["top", "--once"],
    "chat": ["chat", "hello", "hi"],
    "bench": ["bench", "hello", "-d", "1s"],
    "profile start": ["profile", "start", "hello"],
    "profile stop": ["profile", "stop", "p"],
    "profile list": ["profile", "list"],
    "profile fetch": ["profile", "fetch", "p"],
    "profile open": ["profile", "open", "p", "--no-browser"],
    "profile top": ["profile", "top", "p"],
    "profile diff": ["profile", "diff", "a", "b"],
}
NO_CLUSTER = {"version", "completion"}
WRONG = {
    "no such command": ["nonsense"],
    "no name": ["halt"],
    "no such format": ["why", "hello", "-o", "xml"],
    "a level nobody knows": ["logs-level", "hello", "loud"],
    "a time that is none": ["halt", "hello", "--timeout", "soon"],
    "no clients": ["tune", "hello", "--clients", "0"],
    "a deadline that is none": ["drain", "hello", "--deadline", "0s"],
    "clear and a rule": ["cancel", "hello", "--clear", "--client", "a"],
    "no streams": ["bench", "hello", "--streams", "0"],
    "a shell nobody knows": ["completion", "dos"],
    "a kind nobody knows": ["profile", "diff", "./a.gz", "./b.gz", "--kind", "both"],
    "an interval that is too short": ["top", "--interval", "1ms"],
    "half a percent of a pod": ["profile", "start", "hello", "--pods-percent", "0.5"],
}


@dataclass
class Ended:
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ended:
    monkeypatch.setattr(sys, "argv", ["kubectl-genai", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return Ended(int(ended.value.code or 0), captured.out, captured.err)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No kubeconfig at all."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


def commands(group: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, command in group.commands.items():
        nested = hasattr(command, "commands")
        found |= commands(command, f"{prefix}{name} ") if nested else {f"{prefix}{name}"}
    return found


def test_every_command_is_tested_for_its_errors() -> None:
    assert commands(typer.main.get_command(app)) == set(NEEDS_A_CLUSTER) | NO_CLUSTER


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("arguments", NEEDS_A_CLUSTER.values(), ids=NEEDS_A_CLUSTER.keys())
def test_without_a_kubeconfig_it_is_one_sentence_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    missing = str(tmp_path / "none")
    ended = run(capsys, monkeypatch, *arguments, "--kubeconfig", missing)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("kubectl genai: cannot use the kubeconfig: ")
    assert "--kubeconfig" in ended.err


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    ended = run(capsys, monkeypatch, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_is_not_there_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["top", "./none.gz"], ["open", "./none.gz", "--no-browser"], ["diff", "./none.gz", "./none.gz"]):
        ended = run(capsys, monkeypatch, "profile", *command)
        assert ended.code == 3
        assert "./none.gz" in ended.err


def test_version_is_the_projects(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(capsys, monkeypatch, "version")
    assert (ended.code, ended.out.strip()) == (0, __version__)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "kubectl"])
def test_completion_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.delenv("_KUBECTL_GENAI_COMPLETE", raising=False)
    monkeypatch.setenv("_KUBECTL_GENAI_COMPLETE", "")
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.exit_code == 0
    assert "_KUBECTL_GENAI_COMPLETE" in result.output


def test_completion_for_kubectl_completes(tmp_path: Path) -> None:
    """As kubectl calls it: the words after `kubectl genai`, the last one unfinished."""
    script = tmp_path / "kubectl_complete-genai"
    script.write_text(CliRunner().invoke(app, ["completion", "kubectl"]).output)
    script.chmod(0o755)
    program = tmp_path / "kubectl-genai"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m genai_kubectl\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([script, "profile", "st"], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["start", "stop", ":4"]


def test_a_dataclass_becomes_one_option_a_field() -> None:
    @dataclass(frozen=True)
    class Pair:
        first: Annotated[int, typer.Option()] = 1
        second: Annotated[str, typer.Option("--other")] = "x"

    seen: list[object] = []

    def command(name: str, pair: Pair, common: Common) -> None:
        """Its help."""
        seen.extend([name, pair, common.output])

    small = typer.Typer()
    small.command()(grouped(command))
    result = CliRunner().invoke(small, ["n", "--first", "3", "-o", "json"])
    assert result.exit_code == 0, result.output
    assert seen == ["n", Pair(3, "x"), Format.JSON]


def test_shared_names_are_the_operators() -> None:
    assert names.GROUP == constants.GROUP
    assert (names.VERSION, names.MODELS, names.PROFILES) == (
        constants.VERSION,
        constants.PLURAL,
        constants.PROFILE_PLURAL,
    )
    assert (names.MODEL_KIND, names.PROFILE_KIND) == (constants.KIND, constants.PROFILE_KIND)
    assert names.LABEL_MODEL == constants.LABEL_MODEL
    assert (names.PORT_HTTP, names.PORT_METRICS) == (constants.PORT_HTTP, constants.PORT_METRICS)
    assert names.CONTAINER == CONTAINER
    annotations = {value for name, value in vars(constants).items() if name.startswith("ANNOTATION_")}
    assert set(names.OPTION_FIELDS) <= annotations
    fields = {field.alias or name for name, field in RuntimeOptionsSpec.model_fields.items()}
    assert set(names.OPTION_FIELDS.values()) <= fields
