"""The processes that are measured: started together, and stopped (SIGSTOP) while it is another one's turn.

What runs in them and how they are asked is said by those who start them.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_TERMINATION_SECONDS = 20.0


class Process:
    """A command and everything it started."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], *, pipes: bool) -> None:
        self.log = log
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=pipe,
                stdout=pipe if pipes else output,
                stderr=output,
                preexec_fn=_die_with_parent,
                text=True,
            )

    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants, parents first."""
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.popen.pid)
            return [top, *top.children(recursive=True)]
        return []

    def pause(self) -> None:
        """It gets no CPU until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and its descendants."""
        every = self.tree()
        self.resume()
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(_TERMINATION_SECONDS)
        for each in every:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.popen.wait()
        psutil.wait_procs(every, timeout=_TERMINATION_SECONDS)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def _signal(self, number: signal.Signals) -> None:
        for each in self.tree():
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, *, pipes: bool = False
) -> Iterator[Process]:
    """A process that ends with the block; `pipes` gives it standard input and output."""
    process = Process(command, log, os.environ if environment is None else environment, pipes=pipes)
    try:
        yield process
    finally:
        process.stop()


class ForeignCpu:
    """How much of the machine neither the process, nor this one, nor nobody used, since this object was made."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._began = self._used()

    def share(self) -> float:
        """0 to 1 of all CPUs; time that the hypervisor took counts."""
        busy, whole, own = (now - then for now, then in zip(self._used(), self._began, strict=True))
        return max(0.0, (busy - own) / whole) if whole else 0.0

    def _used(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        own = sum(sum(each.cpu_times()[:2]) for each in [psutil.Process(), *self._process.tree()])
        return sum(times) - times.idle - times.iowait, sum(times), own


def wait_until(ready: Callable[[], bool], process: Process, name: str, seconds: float = 120.0) -> None:
    """Raises RuntimeError with the end of the log when the process ends or does not become ready."""
    end = time.monotonic() + seconds
    while not ready():
        if process.popen.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.popen.returncode}:\n{process.last_words()}")
        if time.monotonic() > end:
            raise RuntimeError(f"{name} was not ready after {seconds:g} s:\n{process.last_words()}")
        time.sleep(0.05)


def _die_with_parent() -> None:
    """A benchmark that is killed leaves nothing behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
