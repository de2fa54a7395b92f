"""How far a fetch is, written by the fetching thread and read by the one that answers calls. Numbers only."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

_WINDOW_SECONDS = 30.0
_SAMPLE_SECONDS = 1.0


class Phase(StrEnum):
    """What goes on."""

    RESOLVING = "resolving"
    FETCHING = "fetching"
    VERIFYING = "verifying"
    BUILDING = "building"
    MEASURING = "measuring"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. `total_bytes` and `remaining_seconds` are 0 while they are not known. `percent`: of a build."""

    phase: Phase = Phase.RESOLVING
    fetched_bytes: int = 0
    total_bytes: int = 0
    fetched_files: int = 0
    total_files: int = 0
    remaining_seconds: float = 0.0
    digest: str = ""
    cached: bool = False
    reason: str = ""
    message: str = ""
    percent: int = 0


@dataclass
class Progress:
    """The newest snapshot; the rate is that of the last half minute. `clock` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    _now: Snapshot = field(default_factory=Snapshot)
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot:
        """As of now."""
        with self._lock:
            return replace(self._now, remaining_seconds=self._remaining())

    def enter(self, phase: Phase, total_bytes: int = 0, total_files: int = 0) -> None:
        """Another phase, which counts from nothing."""
        with self._lock:
            self._now = Snapshot(phase, total_bytes=total_bytes, total_files=total_files)
            self._samples = deque([(self.clock(), 0)])

    def step(self, phase: Phase, percent: int) -> None:
        """A build is that far; never less far than it was."""
        with self._lock:
            self._now = Snapshot(phase, percent=max(percent, self._now.percent))

    def add(self, count: int) -> None:
        """So many bytes more; less than 0: they have to be fetched again."""
        with self._lock:
            self._now = replace(self._now, fetched_bytes=max(0, self._now.fetched_bytes + count))
            self._sample(passing=count > 0)

    def found(self, count: int) -> None:
        """Bytes that an earlier run had fetched: they say nothing about the speed."""
        with self._lock:
            self._now = replace(self._now, fetched_bytes=self._now.fetched_bytes + count)
            self._samples = deque([(self.clock(), self._now.fetched_bytes)])

    def add_file(self) -> None:
        """One file more is there."""
        with self._lock:
            self._now = replace(self._now, fetched_files=self._now.fetched_files + 1)

    def more(self, total_bytes: int, total_files: int) -> None:
        """The source turned out to have more that is wanted."""
        with self._lock:
            bigger = self._now.total_bytes + total_bytes, self._now.total_files + total_files
            self._now = replace(self._now, total_bytes=bigger[0], total_files=bigger[1])

    def complete(self, digest: str, total_bytes: int, total_files: int, *, cached: bool) -> None:
        """The last word."""
        with self._lock:
            self._now = Snapshot(
                Phase.COMPLETE, total_bytes, total_bytes, total_files, total_files, digest=digest, cached=cached
            )

    def failed(self, reason: str, message: str) -> None:
        """The last word; what was fetched until then stays to be seen."""
        with self._lock:
            self._now = replace(self._now, phase=Phase.FAILED, reason=reason, message=message)

    def _sample(self, *, passing: bool) -> None:
        now = self.clock()
        if not passing:
            self._samples.clear()
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self._now.fetched_bytes))
        while now - self._samples[0][0] > _WINDOW_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    def _remaining(self) -> float:
        now = self._now
        if now.phase not in (Phase.FETCHING, Phase.VERIFYING) or not self._samples or not now.total_bytes:
            return 0.0
        since, before = self._samples[0]
        passed, seconds = now.fetched_bytes - before, self.clock() - since
        if passed <= 0 or seconds <= 0:
            return 0.0
        return max(0.0, (now.total_bytes - now.fetched_bytes) * seconds / passed)
