"""Contestants are stopped with all they started while it is not their turn, and nothing of them is left."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.serving.processes import Process, running, wait_until

TREE = ("sh", "-c", "sleep 600 & sleep 600 & wait")


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def states(process: Process) -> set[str]:
    return {each.status() for each in process.tree()}


def test_a_paused_tree_is_stopped_as_a_whole_and_none_of_it_is_left(tmp_path: Path) -> None:
    with running(TREE, tmp_path / "log") as process:
        until(lambda: len(process.tree()) == 3)
        every = process.tree()
        process.pause()
        until(lambda: states(process) == {psutil.STATUS_STOPPED})
        process.resume()
        until(lambda: psutil.STATUS_STOPPED not in states(process))
        process.pause()
    assert not any(each.is_running() for each in every)


def test_a_contestant_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = ("sh", "-c", "echo no such model >&2; exit 3")
    with running(command, tmp_path / "log") as process, pytest.raises(RuntimeError, match=r"(?s)ended with 3.*no such"):
        wait_until(lambda: False, process, "it")
