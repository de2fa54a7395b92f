"""Processes that outlive the command that started them: remembered with their start time, and only ended when they
are still the same.

No knowledge of what the processes do.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """`started`: clock ticks since boot, `boot`: the kernel's boot id. The three together never name another
    process."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """Raises ProcessLookupError when there is no such process."""
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(f"process {pid} ended before it could be recorded")
        return cls(pid, started, boot_id())

    def alive(self) -> bool:
        return self.boot == boot_id() and _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Signals the process if it is still the one recorded."""
        if self.alive():
            os.kill(self.pid, number)

    def wait_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def save(path: Path, processes: Mapping[str, Process]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({name: asdict(process) for name, process in processes.items()}, indent=1))
    fresh.replace(path)


def load(path: Path) -> dict[str, Process]:
    """Empty when there is no file, or one that a crash left half written."""
    try:
        return {name: Process(**fields) for name, fields in json.loads(path.read_text()).items()}
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def children(pid: int) -> list[int]:
    """The direct children of a single-threaded process; empty when it is gone."""
    try:
        return [int(word) for word in (PROC / f"{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_line(pid: int) -> list[str]:
    """Empty when the process is gone or a zombie."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def pids() -> list[int]:
    return sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _started(pid: int) -> int | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the command's name may hold spaces and parentheses; the fields after it do not
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
