"""Windows that the server opens for itself: what operators take while some work is done, and nothing that is kept.

No profile comes of them: they are in no list, and their files are removed at once. Profiles are `profiles.py`'s; what
the times are for is said by who asks (`warmup.py`, `measuring.py`).
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import EngineFailure
from genai_runtime.front.trace_merging import MergeFailed, merge_trace
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.selection import Selection
from genai_runtime.profiling.store import RAW_SUFFIX, TRACE_SUFFIX
from genai_runtime.profiling.summary import OperatorTime

# No profile's id has this form, so that what a killed process leaves is never taken for one.
_PREFIX = "own-"
_MOST_BYTES = 64 * 1024 * 1024
_MOST_SECONDS = 600.0
_CLOSE_SECONDS = 10.0
_log = structlog.get_logger("genai_runtime.profiles")


class OwnWindowEngine(Protocol):
    """What is needed of the engine process; see `front.profiles.WindowEngine`."""

    def open_window(self, window: Window) -> None:
        """Raises `EngineFailure` when there is no engine."""
        ...

    def close_window(self, reason: str) -> None:
        """Without an engine there is nothing to close."""
        ...

    def on_window_progress(self, listener: Callable[[WindowProgress], None]) -> None:
        """`listener` hears every `WindowProgress`."""
        ...

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """`listener` hears False when the engine is gone."""
        ...


class OwnWindows:
    """One at a time, and none beside a profile's: who calls `operators` has made sure of both."""

    def __init__(self, folder: Path, engine: OwnWindowEngine) -> None:
        """Raw runs lie in `folder` until they are read."""
        self._folder = folder
        self._engine = engine
        self._count = 0
        self._open_id = ""
        self._ended: asyncio.Future[WindowProgress | None] | None = None
        engine.on_window_progress(self._progress)
        engine.on_change(self._engine_changed)

    @property
    def open(self) -> bool:
        """Whether one is open, or its runs are being read."""
        return bool(self._open_id)

    def clear(self) -> None:
        """Remove what an earlier process left. Raises OSError."""
        for raw in self._folder.glob(f"{_PREFIX}*{RAW_SUFFIX}"):
            shutil.rmtree(raw, ignore_errors=True)
        for trace in self._folder.glob(f"{_PREFIX}*{TRACE_SUFFIX}*"):
            trace.unlink(missing_ok=True)

    async def operators(
        self, work: Callable[[], Awaitable[None]], most_runs: int, selection: Selection
    ) -> tuple[OperatorTime, ...]:
        """What each kind of operator took a run while `work` ran, the costliest first; of `most_runs` runs at most.

        Raises `EngineFailure` when the engine is gone or nothing was captured, and what `work` raises.
        """
        self._count += 1
        window_id = f"{_PREFIX}{self._count}"
        raw, trace = self._folder / f"{window_id}{RAW_SUFFIX}", self._folder / f"{window_id}{TRACE_SUFFIX}"
        self._ended = ended = asyncio.get_running_loop().create_future()
        self._open_id = window_id
        try:
            self._engine.open_window(Window(window_id, most_runs, _MOST_BYTES, _MOST_SECONDS, selection))
            try:
                await work()
            finally:
                self._engine.close_window("disabled")
                progress = await asyncio.wait_for(ended, _CLOSE_SECONDS)
            if progress is None:
                raise EngineFailure("the engine process ended while its operators were timed")
            merged = await merge_trace(raw, trace, window_id)
        except (MergeFailed, OSError, TimeoutError) as error:
            raise EngineFailure(f"operators could not be timed: {error or 'the window did not close'}") from error
        finally:
            self._open_id = ""
            await asyncio.to_thread(self.clear)
        return merged.operators

    def _progress(self, progress: WindowProgress) -> None:
        if progress.closed and progress.window_id == self._open_id:
            self._end(progress)

    def _engine_changed(self, alive: bool) -> None:
        if not alive and self._open_id:
            self._end(None)

    def _end(self, progress: WindowProgress | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(progress)
