"""One run of the model at a time: its run options, its place in a profiling window, its end from another thread.

The engine's thread runs; any thread may end the run in progress. Prefill and decode have options of their own, and so
has every adapter, for an adapter cannot be taken off again. The terminate flag is sticky: it is set only while a run is
in progress, under the engine's lock, and taken back before the next one.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from genai_runtime.engine import heap, ort
from genai_runtime.engine.windows import Windows

Kind = Literal["prefill", "decode"]
T = TypeVar("T")


class Terminated(Exception):
    """The run was ended from another thread; what it was to compute is not there."""


class Runs:
    """Counts runs by kind. `lock` is the engine's; it is never held during a run."""

    def __init__(self, lock: threading.Lock, make: Callable[[str], ort.RunOptions], windows: Windows) -> None:
        """`make` gives new run options for an adapter's name, "" for none."""
        self._lock = lock
        self._make = make
        self._windows = windows
        self._options: dict[tuple[Kind, str], ort.RunOptions] = {}
        self._current: ort.RunOptions | None = None
        self._kind: Kind = "prefill"
        self._terminated = False
        self._shrink = False
        self.counts: dict[Kind, int] = {"prefill": 0, "decode": 0}

    def run(
        self,
        kind: Kind,
        adapter: str,
        requests: Callable[[], dict[str, int]],
        wanted: Callable[[], bool],
        call: Callable[[ort.RunOptions], T],
        cached: Callable[[], dict[str, int]] = dict,
    ) -> T:
        """Do `call` as one run of `requests` (see `profiling.manifest.Run`), unless it is not `wanted` any more.

        Raises `Terminated` when it was ended or not begun, `ort.OrtError` when it failed.
        """
        options = self._options.get((kind, adapter))
        if options is None:
            options = self._options[kind, adapter] = self._make(adapter)
            if self._shrink and kind == "prefill":
                options.add_config(ort.ARENA_SHRINKAGE, ort.CPU_ARENA)
        with self._lock:
            if not wanted():
                raise Terminated
            self._current, self._kind = options, kind
        try:
            with self._windows.run(kind, requests, lambda value: _profile(options, value), cached):
                result = call(options)
            if self._shrink and kind == "prefill":
                heap.trim()
            self.counts[kind] += 1
        except ort.OrtError as error:
            if error.terminated:
                self._terminated = True
                raise Terminated from None
            raise
        finally:
            with self._lock:
                self._current = None
                if self._terminated:
                    options.clear()
                    self._terminated = False
        return result

    def sampling(self, choose: Callable[[], T]) -> T:
        """Do `choose`, which chooses tokens from the last run's results; a span of its own if that was captured."""
        return self._windows.sampling(choose)

    def terminate(self, kind: Kind | None = None) -> None:
        """End the run in progress, if there is one (of that kind). Call it with the lock held."""
        if self._current is not None and kind in (None, self._kind):
            self._current.terminate()
            self._terminated = True

    def shrink_arena(self, on: bool) -> None:
        """Whether prefills give the arena's unused memory back. Not during a run."""
        self._shrink = on
        for key in [each for each in self._options if each[0] == "prefill"]:
            self._options.pop(key).close()  # made anew: ONNX Runtime warns of an entry that is set again

    def forget(self, adapter: str) -> None:
        """Free the options that hold an adapter, which is about to be freed. Not during a run."""
        for key in [each for each in self._options if each[1] == adapter]:
            self._options.pop(key).close()

    def close(self) -> None:
        """Free the options."""
        for options in self._options.values():
            options.close()
        self._options.clear()


def _profile(options: ort.RunOptions, value: str) -> None:
    """Windows speak GenAI's language: a prefix turns profiling on, "0" off."""
    if value == "0":
        options.stop_profiling()
    else:
        options.start_profiling(Path(value))
