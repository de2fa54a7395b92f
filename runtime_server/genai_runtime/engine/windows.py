"""At most one open profiling window for an engine's thread: which runs it sees, its progress as events, its end.

What a window captures and where is `profiling.window`'s; when a run happens is the engine's. Without an open window a
run costs a comparison here, and so does one in a window that is not chosen by kind or number.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from genai_runtime.engine.protocol import Window
from genai_runtime.generation import GenerationRequest, WindowProgress
from genai_runtime.profiling.speed import SpeedMeter
from genai_runtime.profiling.window import OpenWindow

_PROGRESS_SECONDS = 0.25
_NOT_CAPTURED = contextlib.nullcontext()
T = TypeVar("T")
_log = structlog.get_logger("genai_runtime.engine")


class Windows:
    """Used by the engine's thread only."""

    def __init__(
        self,
        folder: Path,
        kv_tokens: Callable[[], int] = lambda: -1,
        find: Callable[[str], GenerationRequest | None] = lambda _: None,
    ) -> None:
        """Windows' folders are made in `folder`. `kv_tokens` is asked at every step.

        `find` knows the requests that the engine holds, by id, for windows that choose among them.
        """
        self._folder = folder
        self._kv_tokens = kv_tokens
        self._find = find
        self._speed = SpeedMeter()
        self._captured_one = False  # in this step
        self._open: OpenWindow | None = None
        self._events: list[WindowProgress] = []
        self._told = 0.0
        self._told_runs = 0

    def open(self, window: Window) -> None:
        """Open one; an open one is closed first. If it cannot be opened, an event says that it failed."""
        self.close("replaced")
        try:
            self._open = OpenWindow(window, self._folder, find=self._find)
        except (OSError, ValueError) as error:
            _log.warning("profiling window cannot be opened", window=window.window_id, reason=str(error))
            self._events.append(
                WindowProgress(window.window_id, 0, 0, 0, 0, closed=True, close_reason="failed", message=str(error))
            )
            return
        self._speed.begin()
        self._events.append(self._open.progress())

    def close(self, reason: str) -> None:
        """Close the open one, if any; its last progress comes out of `events`."""
        if self._open is not None:
            self._events.append(replace(self._open.close(reason), overhead_percent=self._speed.end()))
            self._open = None

    def stepped(self, tokens: int, prefills: int, *, busy: bool) -> None:
        """After every step, window or not: how many tokens were made since the start, and how much of prompts was.

        Any count of `prefills` that grows will do. `busy`: the next step follows at once.
        """
        captured, self._captured_one = self._captured_one, False
        now, positions = time.monotonic(), self._kv_tokens()
        self._speed.step(now, tokens, prefills, positions, captured=captured, busy=busy)

    def run(
        self,
        kind: str,
        requests: Callable[[], dict[str, int]],
        profile: Callable[[str], None],
        cached: Callable[[], dict[str, int]] = dict,
    ) -> AbstractContextManager[None]:
        """Around one run of `requests`, who had so many tokens `cached` (see `profiling.manifest.Run`).

        If it is captured, `profile` is told the path prefix before the run, and "0" after it. A run whose profiling
        cannot begin happens all the same, and counts as dropped.
        """
        if self._open is None or not self._open.wants(kind, requests):
            return _NOT_CAPTURED
        return self._captured(self._open, kind, requests, profile, cached)

    @contextmanager
    def _captured(
        self,
        window: OpenWindow,
        kind: str,
        requests: Callable[[], dict[str, int]],
        profile: Callable[[str], None],
        cached: Callable[[], dict[str, int]],
    ) -> Iterator[None]:
        self._captured_one = True
        prefix = window.before_run(kind, requests())
        interrupted = True
        try:
            if prefix is not None:
                with contextlib.suppress(OSError):
                    profile(prefix)
            yield
            interrupted = False
        finally:
            if prefix is not None:
                profile("0")
            window.after_run(interrupted=interrupted, cached=cached(), kv_tokens=self._kv_tokens())

    def sampling(self, choose: Callable[[], T]) -> T:
        """Do `choose`, which chooses tokens from the last run's results; timed if that run was captured."""
        if self._open is None or not self._open.captured:
            return choose()
        began = time.monotonic_ns()
        try:
            return choose()
        finally:
            self._open.sampled(began, time.monotonic_ns())

    def due(self) -> bool:
        """Whether `events` has something to say: also when the window's time is up while nothing runs."""
        return bool(self._events) or (self._open is not None and self._open.cap_reached() is not None)

    def events(self) -> list[WindowProgress]:
        """Close the window if a cap was reached; what there is to tell, at most a few times a second."""
        if self._open is not None:
            reason = self._open.cap_reached()
            if reason is not None:
                self.close(reason)
            elif time.monotonic() - self._told >= _PROGRESS_SECONDS:
                progress = self._open.progress()
                seen = progress.runs + progress.dropped_runs + progress.skipped_runs
                if seen != self._told_runs:
                    self._events.append(progress)
                    self._told_runs = seen
                self._told = time.monotonic()
        events, self._events = self._events, []
        return events
