"""`version` and `completion`: about the program itself; neither needs a cluster."""

import os
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Annotated

import typer

from genai_kubectl.errors import WrongUsage
from genai_kubectl.options import Format
from genai_kubectl.output import show, structured

PROGRAM = "kubectl-genai"
_SHELLS = ("bash", "zsh", "fish", "powershell")
# kubectl asks a program of this name, with the words so far, and wants values and a directive: 4 is "no file names".
_FOR_KUBECTL = """#!/bin/sh
# Save as kubectl_complete-genai on the PATH, executable: then `kubectl genai <TAB>` completes.
COMP_WORDS="kubectl-genai $*" COMP_CWORD=$# _KUBECTL_GENAI_COMPLETE=complete_bash kubectl-genai
echo ":4"
"""


def version(output: Annotated[Format, typer.Option("--output", "-o")] = Format.TABLE) -> None:
    """The version of this program."""
    if not structured({"version": _version()}, output):
        show(_version())


def completion(
    run: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help=f"{', '.join(_SHELLS)}, or kubectl.")],
) -> None:
    """Print a completion script; kubectl: the program that makes `kubectl genai <TAB>` complete."""
    if shell == "kubectl":
        show(_FOR_KUBECTL.rstrip())
        return
    if shell not in _SHELLS:
        raise WrongUsage(f"{shell!r}: there are {', '.join(_SHELLS)} and kubectl")
    os.environ["_KUBECTL_GENAI_COMPLETE"] = f"source_{shell}"
    run.find_root().command.main(prog_name=PROGRAM)


def _version() -> str:
    try:
        return installed("genai-operator")
    except PackageNotFoundError:
        from genai_kubectl import __version__

        return __version__
