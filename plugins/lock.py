"""Writes kubectl-genai.lock: uv.lock's versions, but for the packages that kubectl-genai.in holds back.

`make kubectl-genai-lock` calls it. Packages that only left out code needs are not in it: see `build.py`.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "plugins"
HELD_BACK = ("kubernetes", "typer")
_HEADER = (
    "# Made by `make kubectl-genai-lock` from kubectl-genai.in: uv.lock's versions, but for those held back there.\n"
)
# Of kubernetes' asyncio client, or of a Python older than 3.11.
_NOT_NEEDED = (
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache", "yarl"),
    *("typing-extensions", "tzdata"),
)


def main() -> None:
    """The command line."""
    locked = _uv("export", "--no-hashes", "--no-emit-project", "--all-extras", "--all-groups", "--no-annotate")
    pins = [line for line in locked.splitlines() if re.match(r"[a-z]", line) and not line.startswith(HELD_BACK)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints, tempfile.NamedTemporaryFile("w") as overrides:
        constraints.write("\n".join(pins))
        constraints.flush()
        overrides.write("urllib3>=2.8\npython-dateutil>=3\n")  # as pyproject.toml has it
        overrides.flush()
        left_out = [part for name in _NOT_NEEDED for part in ("--no-emit-package", name)]
        made = _uv(
            *("pip", "compile", str(FOLDER / "kubectl-genai.in"), "-c", constraints.name),
            *("--override", overrides.name, "--python-version", "3.11", "--generate-hashes"),
            *("--no-annotate", "--no-header", *left_out),
        )
    (FOLDER / "kubectl-genai.lock").write_text(_HEADER + made)


def _uv(*arguments: str) -> str:
    command = [os.environ.get("UV", "uv"), *arguments, "--quiet"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
