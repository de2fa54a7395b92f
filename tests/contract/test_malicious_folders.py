"""Folders that are broken or made to do harm end in their own code, and nothing outside of them is opened for it.

What the process opens is seen by strace, with the real path of every file: each command runs once over many folders.
"""

import json
import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from localkube import packages
from support.malicious_folders import KINDS, SECRET, make_folder

COMMAND = [sys.executable, "-P", "-c", "from genai_runtime.cli import main; main()"]
ROOT = Path(__file__).parents[2]
# The interpreter's and the system's own files.
OWN = (
    *map(os.path.realpath, (sys.prefix, sys.base_prefix, str(ROOT / "runtime_server"), *site.getsitepackages())),
    *("/usr/lib", "/usr/share", "/usr/local/lib", "/lib", "/lib64", "/proc", "/sys", "/dev/null", "/dev/urandom"),
)
_OPENED = re.compile(r"\bopen(?:at2?)?\(.* = \d+<(?P<path>/.*?)>(?:\(deleted\))?$")


@pytest.fixture(scope="session")
def strace() -> str:
    """The program's path; a Debian machine gets it."""
    packages.ensure(packages.TESTS, "seeing which files a process opens")
    found = shutil.which("strace")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders").resolve()
    return {kind: make_folder(root / str(number), kind) for number, kind in enumerate(KINDS)}


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENAI_", "COV"))}
    own = {"GENAI_RUN_DIR": str(tmp_path / "run"), "GENAI_PROFILE_DIR": str(tmp_path / "profiles")}
    ports = {"GENAI_GRPC_PORT": "0", "GENAI_HTTP_PORT": "0", "GENAI_METRICS_PORT": "0"}
    return {**kept, **own, **ports, "PYTHONDONTWRITEBYTECODE": "1", **changes}


def traced(strace: str, tmp_path: Path, *arguments: str) -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    """The command's end, and the real path of each file that it or a child opened."""
    log = tmp_path / "strace.log"
    done = subprocess.run(
        [strace, "--follow-forks", "-y", "-e", "trace=open,openat,openat2,creat", "-o", str(log), *COMMAND, *arguments],
        env=environment(tmp_path, GENAI_TERMINATION_LOG=str(tmp_path / "last-words")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = log.read_text(errors="surrogateescape").splitlines()
    opened = [match["path"] for line in lines if (match := _OPENED.search(line))]
    assert len(opened) > 50, "strace saw the interpreter start"
    return done, opened


def outside(opened: list[str], usual: set[str], *allowed: Path) -> list[str]:
    """Those that are neither below `allowed` nor the interpreter's nor the system's."""
    inside = tuple(f"{path}/" for path in allowed) + tuple(map(str, allowed))
    return [path for path in opened if path not in usual and not path.startswith((*inside, *OWN))]


@pytest.fixture(scope="module")
def usual(strace: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the command opens on this machine whatever the folder: there is none."""
    tmp_path = tmp_path_factory.mktemp("usual")
    return {path for command in ("check", "serve") for path in traced(strace, tmp_path, command, "nothing")[1]}


@pytest.fixture(scope="module")
def checked(strace: str, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """What `check` printed of all folders in one process, and what that opened."""
    done, opened = traced(strace, tmp_path_factory.mktemp("check"), "check", *map(str, folders.values()))
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout, opened


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_ends_in_its_own_code(checked: tuple[str, list[str]], folders: dict[str, Path], kind: str) -> None:
    text, _ = checked
    found = re.findall(rf"^{re.escape(str(folders[kind]))}: (\w+): .+; .+$", text, re.MULTILINE)
    assert set(found) == {KINDS[kind][0]}


def test_check_opens_nothing_outside_the_folders(
    checked: tuple[str, list[str]], folders: dict[str, Path], usual: set[str]
) -> None:
    _, opened = checked
    assert outside(opened, usual, *folders.values()) == []
    assert not [path for path in opened if Path(path).name == SECRET]
    assert not [path for path in opened if "onnxruntime" in path and ".so" in path], "an engine saw a folder"
    read = {folder for folder in folders.values() if any(path.startswith(f"{folder}/") for path in opened)}
    assert len(read) > len(folders) // 2, "the folders were looked into"


@pytest.mark.parametrize(
    "kind",
    ["link to a file outside", "weights in the parent", "profile written", "library in the folder", "graphs in graphs"],
)
def test_serve_ends_with_the_reason_before_an_engine_starts(
    strace: str, folders: dict[str, Path], usual: set[str], tmp_path: Path, kind: str
) -> None:
    folder = folders[kind]
    done, opened = traced(strace, tmp_path, "serve", str(folder))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    words = json.loads((tmp_path / "last-words").read_text())
    assert words["reason"] == "ModelInvalid"
    assert words["message"].startswith(f"{KINDS[kind][0]}: ")
    assert outside(opened, usual, folder, tmp_path) == []
    assert not [path for path in opened if "onnxruntime" in path and ".so" in path]
    assert not [path for path in opened if Path(path).name == SECRET]


def _mapped_library() -> Path:
    """A library that has nothing to do with ONNX Runtime: one that every process has loaded."""
    found = re.search(r"(/\S*/libm[.-]\S*so\S*)", Path("/proc/self/maps").read_text())
    assert found is not None
    return Path(found[1])


@pytest.mark.model
def test_a_library_of_custom_operators_is_loaded_where_that_is_allowed(tmp_path: Path) -> None:
    """It is no such library, so the words that refuse it are those of the engine that loaded it."""
    folder = make_folder(tmp_path / "root", "library named")
    shutil.copy(_mapped_library(), folder / "evil.bin")

    def said(allowed: str) -> str:
        done = subprocess.run(
            [*COMMAND, "serve", str(folder)],
            env=environment(tmp_path, GENAI_CUSTOM_OPERATORS=allowed),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1
        return done.stderr

    refused, loaded = said("forbid"), said("allow")
    assert "CustomOperators: genai_config.json" in refused
    assert "RegisterCustomOps" not in refused
    assert "evil.bin: undefined symbol: RegisterCustomOps" in loaded
