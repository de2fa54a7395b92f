"""One process of a build: its lines as they come, its end, the most memory that it had, and why it was killed."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from genai_runtime.cgroup import CGROUP_ROOT, OWN_CGROUP, v2_folders

_KEPT_LINES = 12
_LONGEST_LINE = 400
_ENDS = re.compile(rb"[\r\n]+")
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` as of `Popen`: negative for a signal. `peak_bytes`: resident. `lines`: the last ones."""

    code: int
    peak_bytes: int
    lines: tuple[str, ...]
    killed_for_memory: bool

    @property
    def how(self) -> str:
        """In words."""
        return f"ended with {self.code}" if self.code >= 0 else f"was ended by {signal.Signals(-self.code).name}"


def run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], told: Callable[[str], None]
) -> Ended:
    """`python -m MODULE ARGUMENTS…` to its end; `told` gets each line. It is killed when this call is left early."""
    kills = _kills_for_memory()
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in _lines(process.stdout):
            last.append(line)
            told(line)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.stdout.close()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    killed = process.returncode == -signal.SIGKILL and _kills_for_memory() > kills
    return Ended(process.returncode, usage.ru_maxrss * 1024, tuple(last), killed)


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    """Also those that a progress bar ends with a carriage return. Text that is no UTF-8 is shown as far as it goes."""
    rest = b""
    while chunk := os.read(pipe.fileno(), _READ_BYTES):
        *whole, rest = _ENDS.split(rest + chunk)
        yield from filter(None, map(_text, whole))
    if _text(rest):
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").strip()[:_LONGEST_LINE]


def _kills_for_memory(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int:
    """How often the kernel has killed a process of this container for its memory; 0 where that is not told."""
    counts = [0]
    for folder in v2_folders(root, own):
        try:
            events = (folder / "memory.events").read_text().split()
        except OSError:
            continue
        counts += [int(value) for name, value in zip(events[::2], events[1::2], strict=False) if name == "oom_kill"]
    return max(counts)
