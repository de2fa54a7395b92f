"""An engine that captures by hand, with real windows: for tests of the front's profiles."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.window import OpenWindow
from support.raw_runs import capture


class WindowsOnly:
    """An engine that captures by hand, with real windows; `dead` injects the fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.window: Window | None = None
        self.opened: OpenWindow | None = None
        self.dead = False
        self.fault: Exception | None = None
        self.opens = self.skipped = 0
        self.overhead: float | None = None
        self.ended = asyncio.Event()
        self._progress: list[Callable[[WindowProgress], None]] = []
        self._change: list[Callable[[bool], None]] = []

    def open_window(self, window: Window) -> None:
        if self.dead:
            raise EngineFailure("the engine process is gone")
        if self.fault is not None:
            raise self.fault
        self.close_window("replaced")
        self.opens += 1
        self.window = window
        self.opened = OpenWindow(window, self.folder)

    def close_window(self, reason: str) -> None:
        if self.opened is not None and not self.dead:
            last = self.opened.close(reason)
            last = replace(last, skipped_runs=self.skipped, overhead_percent=self.overhead)
            self.opened = None
            asyncio.get_running_loop().call_soon(self.tell, last)

    def on_window_progress(self, listener: Callable[[WindowProgress], None]) -> None:
        self._progress.append(listener)

    def on_change(self, listener: Callable[[bool], None]) -> None:
        self._change.append(listener)

    def tell(self, progress: WindowProgress) -> None:
        for listener in self._progress:
            listener(progress)
        if progress.closed:
            self.ended.set()

    def run(self, runs: int = 1) -> None:
        assert self.opened is not None
        for number in range(runs):
            capture(self.opened, "a", "decode", number + 1)
        self.tell(self.opened.progress())

    def kill(self) -> None:
        """The process dies, and nobody has heard of it yet."""
        self.dead = True
        if self.opened is not None:
            self.opened._manifest.close()  # as the kernel does for a dead process; no closing line
            self.opened = None

    def tell_dead(self) -> None:
        """The front hears of it."""
        for listener in self._change:
            listener(False)

    def die(self) -> None:
        self.kill()
        self.tell_dead()


def kept_files(folder: Path) -> list[str]:
    """Names of all that lies in the folder."""
    return [path.name for path in folder.iterdir()]
