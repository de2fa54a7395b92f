"""Which LoRA adapters are fetched while the server serves: one after the other, so that it costs little.

One that cannot be had is tried again later where that may help; the others are fetched meanwhile. What is loaded is
`live_adapters.py`'s.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from genai_runtime.front.adapter_fetch import AdapterCache, AdapterSource, FetchFailed, Found, fetch_adapter

# What may be different the next time; the rest needs another spec.
_PASSING = ("SourceUnavailable", "Unauthorized", "ModelNotFound", "StorageFull", "InvalidSpec")
_PAUSES = (30.0, 60.0, 120.0, 300.0)
_log = structlog.get_logger("genai_runtime.options")


class AdapterFetches:
    """By adapter's name. Used from the event loop only. `changed` is called when one has come or failed."""

    def __init__(self, cache: AdapterCache, changed: Callable[[], None]) -> None:
        self._cache, self._changed = cache, changed
        self._wanted: dict[str, AdapterSource] = {}
        self._found: dict[AdapterSource, Found] = {}
        self._tries: dict[str, int] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}
        self._retried: set[str] = set()
        self._running: tuple[AdapterSource, asyncio.Task[Found]] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._stopped = False
        self.failed: dict[str, str] = {}

    @property
    def paths(self) -> dict[str, Path]:
        """Those that have come."""
        found = {name: self._found[source] for name, source in self._wanted.items() if source in self._found}
        return {name: each.folder / self._wanted[name].path for name, each in found.items()}

    @property
    def coming(self) -> list[str]:
        """Those that have neither come nor failed."""
        return [name for name, source in self._wanted.items() if source not in self._found and name not in self.failed]

    def _due(self) -> str | None:
        """The next one to fetch."""
        absent = (name for name, source in self._wanted.items() if source not in self._found)
        return next((name for name in absent if name not in self.failed or name in self._retried), None)

    def want(self, wanted: Mapping[str, AdapterSource]) -> None:
        """Have these and no others; what failed is tried again."""
        self._wanted = dict(wanted)
        self.failed.clear()
        self._retried.clear()
        self._tries.clear()
        for timer in self._again.values():
            timer.cancel()
        self._again.clear()
        sources = set(self._wanted.values())
        if self._running is not None and self._running[0] not in sources:
            self._running[1].cancel()
        self._found = {source: found for source, found in self._found.items() if source in sources}
        self._go_on()

    async def stop(self) -> None:
        """End what is under way. What was fetched stays, for a server that starts anew in this pod."""
        self._stopped = True
        self.want({})
        if self._worker is not None:
            await asyncio.gather(self._worker, return_exceptions=True)

    def _go_on(self) -> None:
        if self._worker is None or self._worker.done():
            if not self._wanted and self._worker is None:
                return
            self._worker = asyncio.create_task(self._work(), name="adapter fetches")
            self._worker.add_done_callback(_log_bug)

    async def _work(self) -> None:
        tidy = False
        while (name := self._due()) is not None or not (tidy or self._stopped):
            if name is not None:
                await self._next(name)
            else:  # more may be wanted when that is done
                await asyncio.to_thread(self._tidy, {each.folder for each in self._found.values()})
            tidy = name is None

    async def _next(self, name: str) -> None:
        source = self._wanted[name]
        held = sum(each.bytes for each in self._found.values())
        task = asyncio.create_task(fetch_adapter(source, self._cache, held))
        self._running = source, task
        await asyncio.wait([task])
        self._running = None
        if task.cancelled() or source not in self._wanted.values():
            return
        self._retried.discard(name)
        error = task.exception()
        if error is None:
            self._found[source] = task.result()
            self.failed.pop(name, None)
            _log.info("an adapter was fetched", adapter=name, uri=source.uri)
        elif isinstance(error, FetchFailed):
            _log.warning("an adapter was not fetched", adapter=name, reason=error.reason, error=str(error))
            self._failed(name, error)
        else:
            _log.error("fetching an adapter ended unexpectedly", adapter=name, exc_info=error)
            self.failed[name] = f"fetching ended unexpectedly: {type(error).__name__}; the pod's log has more"
        self._changed()

    def _failed(self, name: str, error: FetchFailed) -> None:
        self.failed[name] = f"{error.reason}: {error}"
        if error.reason in _PASSING and self._cache.total_bytes:
            tries = self._tries[name] = self._tries.get(name, 0) + 1
            pause = _PAUSES[min(tries, len(_PAUSES)) - 1]
            self._again[name] = asyncio.get_running_loop().call_later(pause, self._retry, name)

    def _retry(self, name: str) -> None:
        """What it failed of stays its state until something else comes of it."""
        self._again.pop(name, None)
        self._retried.add(name)
        self._go_on()

    def _tidy(self, used: set[Path]) -> None:
        """Remove the folders that nobody wants. The engine may have one mapped still, and keeps what it has."""
        for folder in (self._cache.folder / "models").glob("*"):
            if folder not in used:
                shutil.rmtree(folder, ignore_errors=True)


def _log_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("fetching adapters ended unexpectedly", exc_info=error)
