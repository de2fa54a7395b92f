"""A work queue of keys: each key at most once, one worker a key, back-off with jitter after failures.

The metrics carry the names of controller-runtime's work queue, so that existing dashboards and alerts apply. What a key
means is the business of the function that processes it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass
from time import monotonic
from typing import Self

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from genai_operator.errors import ClusterUnavailable, OperatorError

log = structlog.get_logger(__name__)

# Handles a key; returns the seconds after which to look at it again, or None.
Process = Callable[[str], Awaitable[float | None]]

_FIRST_DELAY = 0.1
_LAST_DELAY = 60.0
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_LABELS = ["name"]


class QueueMetrics:
    """The series of one queue, under the names that controller-runtime made common."""

    def __init__(self, name: str, registry: CollectorRegistry) -> None:
        # The library adds `_total` to a counter's name by itself.
        depth = Gauge("workqueue_depth", "Keys that wait", _LABELS, registry=registry)
        adds = Counter("workqueue_adds", "Keys added", _LABELS, registry=registry)
        retries = Counter("workqueue_retries", "Keys added again after a failure", _LABELS, registry=registry)
        waited = Histogram(
            "workqueue_queue_duration_seconds", "Time in the queue", _LABELS, registry=registry, buckets=_BUCKETS
        )
        worked = Histogram(
            "workqueue_work_duration_seconds", "Time in a worker", _LABELS, registry=registry, buckets=_BUCKETS
        )
        active = Gauge("controller_runtime_active_workers", "Busy workers", ["controller"], registry=registry)
        results = Counter(
            "controller_runtime_reconcile", "Passes by result", ["controller", "result"], registry=registry
        )
        self._families = depth, adds, retries, waited, worked, active, results
        self._take(name)

    def of(self, name: str) -> Self:
        """The same series for another queue."""
        other = copy(self)
        other._take(name)
        return other

    def _take(self, name: str) -> None:
        depth, adds, retries, waited, worked, active, results = self._families
        self.depth = depth.labels(name)
        self.adds = adds.labels(name)
        self.retries = retries.labels(name)
        self.waited = waited.labels(name)
        self.worked = worked.labels(name)
        self.active = active.labels(name)
        self.succeeded = results.labels(name, "success")
        self.requeued = results.labels(name, "requeue_after")
        self.failed = results.labels(name, "error")


@dataclass(frozen=True, slots=True)
class _Timer:
    """A key that waits for a time, the event loop's. The handle cannot be asked: uvloop's do not tell a delay of 0."""

    at: float
    handle: asyncio.Handle


class WorkQueue:
    """Runs `process` for keys. `add` and `add_after` are called on the event loop's thread.

    `kind` is what a key names, for the log.
    """

    def __init__(
        self,
        process: Process,
        *,
        workers: int,
        metrics: QueueMetrics,
        kind: str = "model",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._process = process
        self._workers = workers
        self._metrics = metrics
        self._kind = kind
        self._jitter = jitter
        # key -> when it was added; in order. What happened now goes before what is only looked at again.
        self._waiting: dict[str, float] = {}
        self._background: dict[str, float] = {}
        self._active: set[str] = set()
        self._again: set[str] = set()  # added while a worker has it
        self._timers: dict[str, _Timer] = {}
        self._failures: dict[str, int] = {}
        self._work = asyncio.Semaphore(0)

    def add(self, key: str, *, background: bool = False) -> None:
        """Puts the key on the queue, once; a delay that it was waiting for is dropped.

        `background` keys are worked on when no other key waits: the start-up's and the resync's thousand keys must not
        delay the one that somebody edits.
        """
        timer = self._timers.pop(key, None)
        if timer:
            timer.handle.cancel()
        if key in self._active:
            self._again.add(key)
            return
        if key in self._waiting or (background and key in self._background):
            return
        if key in self._background:
            self._waiting[key] = self._background.pop(key)
            return
        (self._background if background else self._waiting)[key] = monotonic()
        self._metrics.adds.inc()
        self._metrics.depth.set(len(self))
        self._work.release()

    def add_after(self, key: str, seconds: float) -> None:
        """Puts the key on the queue after a delay; of several delays the earliest counts."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        timer = self._timers.get(key)
        if timer:
            if timer.at <= at:
                return
            timer.handle.cancel()
        self._timers[key] = _Timer(at, loop.call_later(seconds, self._due, key))

    def forget(self, key: str) -> None:
        """Drops what is remembered of a key that is gone: its failures and its delay."""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer:
            timer.handle.cancel()

    def __len__(self) -> int:
        """Keys that wait for a worker, without those that wait for a time."""
        return len(self._waiting) + len(self._background)

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._worker(), name=f"worker {number}")
        finally:
            for timer in self._timers.values():
                timer.handle.cancel()
            self._timers.clear()

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _worker(self) -> None:
        while True:
            await self._work.acquire()
            source = self._waiting or self._background
            key = next(iter(source))
            self._metrics.waited.observe(monotonic() - source.pop(key))
            self._metrics.depth.set(len(self))
            self._active.add(key)
            self._metrics.active.inc()
            begun = monotonic()
            try:
                await self._handle(key)
            finally:
                self._metrics.worked.observe(monotonic() - begun)
                self._metrics.active.dec()
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _handle(self, key: str) -> None:
        """One pass; whatever goes wrong with this key stays with this key."""
        try:
            after = await self._process(key)
        except OperatorError as error:
            self._retry(key, error.retry_after if isinstance(error, ClusterUnavailable) else 0.0)
            log.warning("pass failed", error=str(error), failures=self._failures[key], **{self._kind: key})
        except Exception:
            self._retry(key)
            log.exception("pass failed unexpectedly", failures=self._failures[key], **{self._kind: key})
        else:
            self._failures.pop(key, None)
            if after is None:
                self._metrics.succeeded.inc()
            else:
                self._metrics.requeued.inc()
                self.add_after(key, after)

    def _retry(self, key: str, at_least: float = 0.0) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        self._metrics.failed.inc()
        self._metrics.retries.inc()
        self.add_after(key, at_least + back_off(failures, self._jitter()))


def back_off(failures: int, jitter: float, *, first: float = _FIRST_DELAY, last: float = _LAST_DELAY) -> float:
    """Seconds to wait after so many failures in a row; `jitter` in [0, 1) moves it by a quarter up or down."""
    delay = min(first * 2.0 ** min(failures - 1, 32), last)
    return float(delay * (0.75 + 0.5 * jitter))
