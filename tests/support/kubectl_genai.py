"""`kubectl genai` as a program, the way people run it: arguments in, exit code, stdout and stderr out."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from genai_kubectl.__main__ import main

_BUILD = Path(__file__).parents[2] / "plugins" / "build.py"
PROGRAM = (sys.executable, "-m", "genai_kubectl")


@dataclass(frozen=True)
class Ended:
    """What came of a run."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Stdout, which must be one JSON value and nothing else."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class KubectlGenai:
    """The program with the rights of one kubeconfig."""

    kubeconfig: Path
    namespace: str
    program: Sequence[str] = PROGRAM
    inside: bool = False  # `run` inside this process: a new one takes a second to import everything

    def start(self, *arguments: str, folder: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """A run that goes on; see `end`."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), **variables}
        return subprocess.Popen(
            [*self.program, *arguments, "-n", self.namespace],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )

    def run(self, *arguments: str, folder: Path | None = None, seconds: float = 240, **variables: str) -> Ended:
        """A run to its end."""
        if self.inside:
            return self._inside(arguments, folder or Path.cwd(), variables)
        return end(self.start(*arguments, folder=folder, **variables), seconds)

    def _inside(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        command = ["kubectl-genai", *arguments, "-n", self.namespace, "--kubeconfig", str(self.kubeconfig)]
        with (
            patch.object(sys, "argv", command),
            patch.dict(os.environ, variables),
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def one_file(folder: Path) -> tuple[str, ...]:
    """Builds the program as one file; its command line, with which no installed package can be imported (-S)."""
    target = folder / "kubectl-genai"
    done = subprocess.run(
        [sys.executable, str(_BUILD), "--output", str(target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (sys.executable, "-I", "-S", str(target))


def end(process: subprocess.Popen[str], seconds: float = 240) -> Ended:
    """Waits for a run that was started; no run may show a traceback."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end in {seconds:g} s; it said {out!r} and {err!r}") from None
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)
