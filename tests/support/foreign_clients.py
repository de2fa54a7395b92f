"""Clients that others wrote, each in an environment of its own: their dependencies and ours exclude each other, and two
copies of one protocol cannot live in one process.

Environments and programs are made once, in the cache of the local cluster's tools. `make_all` does it before the tests.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localkube import binaries, places
from localkube.binaries import Program

SCRIPTS = Path(__file__).resolve().parents[1] / "clients"
GRPCURL = Program("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4", "grpcurl 1.9.4")
GHZ = Program("ghz", "github.com/bojand/ghz/cmd/ghz@v0.120.0", "ghz 0.120.0")


@dataclass(frozen=True)
class Environment:
    """Python packages that belong together, with exact versions."""

    name: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Its name changes with what is in it."""
        content = "\n".join((sys.version, *self.requirements))
        return places.cache_dir() / "clients" / f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


TRITON = Environment(
    "tritonclient", ("tritonclient[grpc]==2.73.0", "grpcio==1.85.1", "protobuf==6.33.6", "numpy==2.4.6")
)
KSERVE = Environment("kserve", ("kserve==0.21.0", "grpcio==1.85.1", "protobuf==6.33.6", "setuptools==80.9.0"))


@contextlib.contextmanager
def _shown(config: pytest.Config) -> Any:
    """What is printed inside is seen while it happens: a first use takes a while."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        yield


def make_all() -> None:
    """Whatever is not there yet: no test then spends its time on it."""
    binaries.build((GRPCURL, GHZ))
    for environment in (TRITON, KSERVE):
        _python(environment)


def python_of(environment: Environment, config: pytest.Config) -> Path:
    """Its interpreter; made on first use."""
    with _shown(config):
        return _python(environment)


def _python(environment: Environment) -> Path:
    folder = environment.folder
    python = folder / "bin" / "python"
    if python.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists():
            print(f"\ninstalling {environment.name} into {folder}", flush=True)
            fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
            shutil.rmtree(fresh, ignore_errors=True)
            _uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(fresh))
            _uv("pip", "install", "--python", str(fresh / "bin" / "python"), *environment.requirements)
            fresh.rename(folder)
    return python


def program(wanted: Program, config: pytest.Config) -> Path:
    """A Go program's path; built on first use."""
    path = binaries.path_of(wanted)
    if not path.exists():
        with _shown(config):
            binaries.build((wanted,))
    return path


async def run_script(python: Path, script: str, *arguments: str) -> dict[str, Any]:
    """Run one of tests/clients to its end; it prints one JSON object of what it saw."""
    found = json.loads(await run_program(python, str(SCRIPTS / script), *arguments))
    assert isinstance(found, dict)
    return found


async def run_program(path: Path, *arguments: str, code: int = 0) -> str:
    """What the program printed. Fails with its error output unless it exits with `code`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    process = await asyncio.create_subprocess_exec(
        str(path), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == code, f"{path.name}: {errors.decode()[-4000:]}\n{output.decode()[-2000:]}"
    return output.decode() if code == 0 else errors.decode()


def _uv(*arguments: str) -> None:
    own = places.cache_dir() / "uv" / "bin" / "uv"
    uv = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)
    assert uv, "uv is needed to install clients: run this through make, or put uv on the PATH"
    subprocess.run([uv, *arguments], check=True)
