"""`genai-runtime digest`: the number that `spec.model.sha256` takes, and what keeps a folder from having one."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.inspect import inspect_model


def run(folder: Path | str, *options: str, log: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from genai_runtime.cli.app import main; main()", "digest", str(folder), *options]
    environment = {**os.environ, **({"GENAI_TERMINATION_LOG": str(log)} if log else {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "adapters").mkdir(parents=True)
    (made / "b.json").write_bytes(b"two")
    (made / "adapters" / "a").write_bytes(b"")
    return made


def wanted(folder: Path) -> str:
    """As the contract has it."""
    lines = sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.stat().st_size}  {path.relative_to(folder)}\n"
        for path in folder.rglob("*")
        if path.is_file()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_digest_is_over_all_files_with_their_names_and_sizes(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run(folder, log=log)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"digest": wanted(folder), "bytes": 3, "files": 2}
    assert json.loads(log.read_text()) == found
    assert run(folder, "--sha256", found["digest"]).returncode == 0


def test_another_folder_is_refused_with_both_digests(folder: Path, tmp_path: Path) -> None:
    log, before = tmp_path / "log", wanted(folder)
    (folder / "b.json").rename(folder / "c.json")
    done = run(folder, "--sha256", before, log=log)
    words = json.loads(log.read_text())
    assert (done.returncode, words["reason"]) == (1, "ChecksumMismatch")
    assert before in words["message"]
    assert wanted(folder) in words["message"]


def test_a_link_an_empty_folder_and_none_have_no_digest(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    (folder / "link").symlink_to("/etc/hostname")
    (tmp_path / "empty").mkdir()
    for place, reason in ((folder, "ModelInvalid"), (tmp_path / "empty", "ModelNotFound"), ("/none", "ModelNotFound")):
        assert run(place, log=log).returncode == 1
        assert json.loads(log.read_text())["reason"] == reason


def test_a_folder_with_nothing_in_it_is_no_model(tmp_path: Path) -> None:
    """As a ConfigMap that is missing is mounted."""
    with pytest.raises(ModelUnusable) as refused:
        inspect_model(tmp_path)
    assert refused.value.reason == "ModelNotFound"
