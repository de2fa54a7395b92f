"""One bash as the reader of a page has it: variables, the folder and background jobs stay from block to block.

What is typed there and what must be seen is not known here.
"""

import os
import select
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Every command counts, not only a block's last one; and of a pipe, every part.
_BEGIN = "set -o pipefail\ntrap 'failed=$?' ERR\n"


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a block: the exit code of its last failing command, 0 without one, and what was seen of it."""

    code: int
    seen: str


class Terminal:
    """Runs blocks in `folder`; what they leave running ends with it. Its own files lie in `records`."""

    def __init__(self, folder: Path, records: Path, environment: Mapping[str, str]) -> None:
        self._records = records
        self._count = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._write(_BEGIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()

    def run(self, commands: str, seconds: float = 240) -> Ended:
        """Types a block. Output is read when its last command has ended.

        Raises:
            AssertionError: it did not end in time, or ended the shell.
        """
        self._count += 1
        script, output = (self._records / f"{self._count}.{kind}" for kind in ("sh", "txt"))
        script.write_text(commands, encoding="utf-8")
        self._write(f"failed=0\nsource '{script}' > '{output}' 2>&1 < /dev/null\necho $failed\n")
        assert self._bash.stdout is not None
        ready, _, _ = select.select([self._bash.stdout], [], [], seconds)
        said = self._bash.stdout.readline().decode() if ready else ""
        seen = output.read_text(encoding="utf-8")
        assert said.strip().isdecimal(), f"after {seconds:g} s these have not ended:\n{commands}\nseen: {seen}{said}"
        return Ended(int(said), seen)

    def _write(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text.encode())
