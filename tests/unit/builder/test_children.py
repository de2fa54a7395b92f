"""Processes of a build: their lines, ends, and memory, and what a failure says."""

import os
from pathlib import Path

import pytest

from genai_builder import children, making
from genai_builder.children import Ended, run
from genai_builder.request import request_of
from genai_builder.source_folder import read_source
from genai_builder.staging import Stage
from genai_runtime.errors import ModelUnusable
from support.hello_source import write_source

PROGRAM = """
import os, signal, sys
print("begin", os.environ.get("HOME"))
sys.stderr.write("10%|#\\r20%|##\\r")
sys.stdout.buffer.write(b"not \\xff UTF-8\\n")
sys.stdout.flush()
"""


def program(folder: Path, text: str) -> dict[str, str]:
    """A module `child`; the environment that has it."""
    (folder / "child.py").write_text(PROGRAM + text)
    return {"PYTHONPATH": str(folder), "HOME": "/nowhere", "PATH": os.environ["PATH"]}


def test_lines_come_as_they_are_written_and_the_last_ones_stay(tmp_path: Path) -> None:
    lines: list[str] = []
    environment = program(tmp_path, "block = bytearray(200 << 20)\nfor n in range(50): print('line', n)\nsys.exit(3)")
    ended = run("child", [], tmp_path, environment, lines.append)
    assert ended.code == 3
    assert ended.how == "ended with 3"
    assert {"begin /nowhere", "10%|#", "20%|##", "not \ufffd UTF-8", "line 49"} <= set(lines)
    assert ended.lines == tuple(f"line {number}" for number in range(38, 50))
    assert ended.peak_bytes > 200 << 20
    assert not ended.killed_for_memory


def test_a_child_does_not_outlive_its_caller(tmp_path: Path) -> None:
    found: list[int] = []

    def leave(line: str) -> None:
        if line.startswith("pid"):
            found.append(int(line.split()[1]))
            raise RuntimeError("enough")

    environment = program(tmp_path, "print('pid', os.getpid(), flush=True)\nsignal.pause()")
    with pytest.raises(RuntimeError, match="enough"):
        run("child", [], tmp_path, environment, leave)
    with pytest.raises(ProcessLookupError):
        os.kill(found[0], 0)


@pytest.mark.parametrize(
    ("ended", "reason", "said"),
    [
        (Ended(1, 5 << 20, ("Traceback", "ValueError: no"), False), "BuildFailed", "ended with 1, with 5 MiB"),
        (Ended(1, 5 << 20, ("ValueError: no", "9%|#"), False), "BuildFailed", "at most: ValueError: no"),
        (Ended(-11, 5 << 20, (), False), "BuildFailed", "was ended by SIGSEGV"),
        (Ended(-9, 7 << 20, (), True), "OutOfMemory", "was killed for its memory: it had used 7 MiB of the"),
        (Ended(-9, 7 << 20, (), False), "OutOfMemory", "most likely for its memory"),
    ],
)
def test_a_failure_says_what_happened_and_what_helps(ended: Ended, reason: str, said: str) -> None:
    error = making.failure(ended, "the model builder", "model.build.resources.limits.memory")
    assert isinstance(error, ModelUnusable)
    assert error.reason == reason
    assert said in error.message


def test_a_kill_for_memory_is_read_from_the_control_group(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/pod/container\n")
    folder = tmp_path / "cgroup/pod/container"
    folder.mkdir(parents=True)
    assert children._kills_for_memory(tmp_path / "cgroup", own) == 0
    (folder / "memory.events").write_text("low 0\nhigh 3\nmax 9\noom 1\noom_kill 2\n")
    assert children._kills_for_memory(tmp_path / "cgroup", own) == 2


def test_a_builder_that_fails_is_quoted(tmp_path: Path) -> None:
    # What the builder needs is not installed here: the real one ends with that.
    source = read_source(write_source(tmp_path / "source"))
    stage = Stage(tmp_path / "stage")
    stage.prepare(source)
    with pytest.raises(ModelUnusable, match="ModuleNotFoundError: No module named") as failed:
        making.make(request_of("cpu", "int4"), stage, source.layers, lambda share: None)
    assert failed.value.reason == "BuildFailed"
    stage.remove()
    assert not stage.root.exists()
    assert (tmp_path / "source/model.safetensors").exists()


def test_the_builders_lines_are_progress() -> None:
    shares: list[float] = []
    told = making._Lines(4, shares.append)
    for line in ("Reading embedding layer", "Reading layer 0", "10%|#", "Reading layer 3"):
        told(line)
    for _ in range(30):
        told("matmul_nbits_quantizer [INFO] - complete quantization of /x with 4 bits ...")
    assert shares[:2] == [0.125, 0.5]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_children_have_no_settings_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    environment = Stage(tmp_path).environment()
    assert "secret" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == environment["ORT_DISABLE_TELEMETRY"] == "1"
