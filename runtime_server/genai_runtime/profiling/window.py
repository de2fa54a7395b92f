"""An open profiling window, inside the engine process: its runs' files accounted, the caps. Which runs: `selection`.

The engine asks whether a run is wanted, then for a prefix, gives that to ONNX Runtime's run-level profiler, and reports
when the run is over. Merging the files is not done here: it would cost the engine's time (`merge`).

ONNX Runtime writes `PREFIX_<local time, ms>.json`, one file a Session::Run (a prefill in chunks is several), and says
nothing when it cannot write, so every run is checked. Files of one prefix in the same millisecond overwrite each other,
so every run has its own.
"""

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from genai_runtime.engine.protocol import Window
from genai_runtime.generation import GenerationRequest, WindowProgress
from genai_runtime.profiling.manifest import (
    MANIFEST,
    RUNNING,
    RawFile,
    Run,
    write_closing,
    write_opening,
    write_run,
    write_sampled,
)
from genai_runtime.profiling.selection import Chooser, Requests
from genai_runtime.profiling.store import RAW_SUFFIX, free_bytes

# Left free on the volume, for the merged trace and for whoever else writes there.
RESERVE_BYTES = 64 * 1024 * 1024
# How often it is looked at while nothing is captured.
_LOOK_SECONDS = 0.25
_STAMP = re.compile(r"_(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)_(\d{3})\.json$")
_STAMP_TOLERANCE_NS = 2_000_000
# What ONNX Runtime appends to the prefix.
_SUFFIX_LENGTH = len("_2026-01-01_00-00-00_000.json")


class OpenWindow:
    """One window, for one thread: `wants`, `before_run`, the run, `after_run`; `cap_reached` also while idle; `close`.

    `interrupted` runs (cancelled, terminated) that never began leave no file and are not counted at all. A run that is
    not wanted costs no look at the disk.
    """

    def __init__(
        self,
        window: Window,
        folder: Path,
        monotonic: Callable[[], float] = time.monotonic,
        reserve_bytes: int = RESERVE_BYTES,
        find: Callable[[str], GenerationRequest | None] = lambda _: None,
    ) -> None:
        """Make the working folder; `find` knows the engine's requests by id.

        Raises OSError that says what is wrong with the folder, `InvalidSelection`.
        """
        self._window = window
        self._chooser = Chooser(window.selection, find)
        self._monotonic = monotonic
        self._opened = monotonic()
        self._reserve = reserve_bytes
        self._folder = (folder / f"{window.window_id}{RAW_SUFFIX}").absolute()
        self._running = self._folder / RUNNING
        self._current: tuple[str, dict[str, int], int, int] | None = None
        self.captured = 0  # the run that has just been kept; 0 since the next one began
        self._started = 0  # runs that were given a prefix
        self._runs = 0
        self._bytes = 0
        self._dropped = 0
        self._skipped = 0
        self._full = False
        self._look_again = 0.0
        self._requests: set[str] = set()
        self._last_drop = ""
        self._closed: WindowProgress | None = None
        self._manifest = self._make_folder()

    def wants(self, kind: str, requests: Requests) -> bool:
        """Whether the run that starts now is to be captured; one that is not chosen counts as skipped.

        `kind` is "prefill" or "decode". Ask once a run; after the window's end nothing is counted.
        """
        self.captured = 0
        if self._closed is not None or self.cap_reached() is not None:
            return False
        if self._chooser.wants(kind, requests):
            return True
        self._skipped += 1
        return False

    def before_run(self, kind: str, requests: Mapping[str, int]) -> str | None:
        """Return the absolute prefix for the run that starts now, or None when it must not be profiled (cap, closed).

        What is told of each request is said at `Run`.
        """
        self.captured = 0
        if self._closed is not None or self.cap_reached() is not None:
            return None
        self._started += 1
        self._current = (kind, dict(requests), time.monotonic_ns(), time.time_ns())
        return str(self._running / self._prefix())

    def after_run(
        self, *, interrupted: bool = False, cached: Mapping[str, int] | None = None, kv_tokens: int = -1
    ) -> None:
        """Account for the run that `before_run` gave a prefix to; without one nothing is done.

        `cached` and `kv_tokens` are said at `Run`.
        """
        if self._current is None:
            return
        kind, requests, start_ns, start_unix_ns = self._current
        end_ns = time.monotonic_ns()
        self._current = None
        problem = ""
        files: tuple[RawFile, ...] = ()
        try:
            files = tuple(self._collect(start_ns, end_ns, start_unix_ns))
        except OSError as error:
            problem = f"its file cannot be kept: {error}"
        if not files:
            if interrupted and not problem:
                return
            problem = problem or "ONNX Runtime wrote no file (is the volume full or not writable?)"
        known = dict(cached or {})
        run = Run(self._started, kind, requests, start_ns, end_ns, interrupted, files, problem, known, kv_tokens)
        self._account(run)

    def sampled(self, start_ns: int, end_ns: int) -> None:
        """Note when tokens were chosen from the results of the run that was `captured`; without one nothing is done."""
        if self.captured and self._closed is None:
            with contextlib.suppress(OSError):  # the run itself is in the list
                write_sampled(self._manifest, self.captured, start_ns, end_ns)

    def cap_reached(self) -> str | None:
        """Return which cap ends the window now ("max_runs", "max_bytes", "max_seconds"), or None."""
        now = self._monotonic()
        if now - self._opened >= self._window.max_seconds:
            return "max_seconds"
        if self._runs + self._dropped >= self._window.max_runs:
            return "max_runs"
        if self._bytes >= self._window.max_bytes or self._volume_full(now):
            return "max_bytes"
        return None

    def progress(self) -> WindowProgress:
        """What was captured so far."""
        return self._closed or self._progress()

    def close(self, reason: str) -> WindowProgress:
        """End the window; a second call returns the first one's result."""
        if self._closed is not None:
            return self._closed
        message = self._closing_message(reason)
        try:
            write_closing(self._manifest, reason)
            self._manifest.close()
        except OSError as error:
            message = f"{message} The list of runs is incomplete: {error}.".strip()
        self._closed = self._progress(closed=True, close_reason=reason, message=message)
        return self._closed

    def _prefix(self) -> str:
        return f"r{self._started:07d}"

    def _make_folder(self) -> TextIO:
        longest = len(os.fsencode(self._running)) + 16 + _SUFFIX_LENGTH
        if longest >= 4096:
            raise OSError(f"profiles cannot be kept under {self._folder}: the path is too long")
        try:
            self._running.mkdir(parents=True)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._need_space()
            manifest = (self._folder / MANIFEST).open("x", encoding="utf-8", buffering=1)
            write_opening(manifest, time.time_ns(), time.monotonic_ns())
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise self._unusable(error) from error
        return manifest

    def _unusable(self, error: OSError) -> OSError:
        return OSError(error.errno, f"profiles cannot be kept in {self._folder.parent}: {error}")

    def _need_space(self) -> None:
        free = free_bytes(self._folder)
        if free < self._reserve:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, and {self._reserve} must stay free")

    def _collect(self, start_ns: int, end_ns: int, start_unix_ns: int) -> list[RawFile]:
        """Move the run's files, in the order they were written, from where ONNX Runtime writes to their place."""
        files = []
        mine = f"{self._prefix()}_"
        with os.scandir(self._running) as entries:
            found = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.name.startswith(mine))
        for name, size in found:
            os.replace(self._running / name, self._folder / name)  # noqa: PTH105 - measurably cheaper than Path's
            stamp = _stamp_ns(name, start_unix_ns - start_ns)
            known = stamp is not None and start_ns - _STAMP_TOLERANCE_NS <= stamp <= end_ns + _STAMP_TOLERANCE_NS
            files.append(RawFile(name, size, stamp if stamp is not None and known else 0))
        return files

    def _account(self, run: Run) -> None:
        size = sum(file.bytes for file in run.files)
        self._bytes += size
        self._look_again = 0.0
        try:
            write_run(self._manifest, run)
        except OSError as error:
            self._dropped += 1
            self._last_drop = f"it cannot be listed: {error}"
            return
        if run.dropped:
            self._dropped += 1
            self._last_drop = run.dropped
            return
        self._runs += 1
        self.captured = run.run
        self._requests.update(run.requests)

    def _volume_full(self, now: float) -> bool:
        """Looked at after every captured run, and now and then."""
        if not self._full and now >= self._look_again:
            self._look_again = now + _LOOK_SECONDS
            try:
                self._full = free_bytes(self._folder) < self._reserve
            except OSError:
                self._full = True
        return self._full

    def _closing_message(self, reason: str) -> str:
        parts = []
        if self._runs == 0 and self._dropped == 0 and self._skipped:
            parts.append(
                f"None of the {self._skipped} runs of the model while the window was open was chosen by its selection, "
                "so nothing was captured."
            )
        elif self._runs == 0 and self._dropped == 0:
            parts.append("No run of the model happened while the window was open, so nothing was captured.")
        elif self._runs == 0:
            parts.append("Nothing was captured.")
        if self._dropped:
            parts.append(f"The profile of {self._dropped} runs was lost; of the last one: {self._last_drop}.")
        if reason == "max_bytes" and self._bytes < self._window.max_bytes:
            parts.append(f"Less than {self._reserve} bytes were left free in {self._folder.parent}.")
        return " ".join(parts)

    def _progress(self, *, closed: bool = False, close_reason: str = "", message: str = "") -> WindowProgress:
        return WindowProgress(
            self._window.window_id,
            self._runs,
            len(self._requests),
            self._bytes,
            self._dropped,
            closed,
            close_reason,
            message,
            self._skipped,
        )


def _stamp_ns(name: str, unix_minus_monotonic_ns: int) -> int | None:
    """When the run of the file `name` began, on time.monotonic_ns, exact to a millisecond; None if unreadable."""
    match = _STAMP.search(name)
    if match is None:
        return None
    try:
        seconds = _unix_seconds(match[1])
    except ValueError:
        return None
    return seconds * 1_000_000_000 + int(match[2]) * 1_000_000 - unix_minus_monotonic_ns


@lru_cache(maxsize=4)
def _unix_seconds(local: str) -> int:
    """Of a local time; reading it takes longer than all else about a name, and runs come many to a second.

    Raises ValueError.
    """
    return int(datetime.strptime(local, "%Y-%m-%d_%H-%M-%S").timestamp())
