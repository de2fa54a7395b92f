"""The LoRA adapters of the live options: which are wanted, and what has become of them.

The files of some lie in the model's folder, and are named relative to it; others are fetched first. Fetching is
`adapter_fetches.py`'s, loading the engine's, option by option comparing `runtime_options.py`'s.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from genai_runtime.engine.protocol import AdapterState
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.adapter_fetch import NO_CACHE, AdapterCache, AdapterSource
from genai_runtime.front.adapter_fetches import AdapterFetches
from genai_runtime.front.ports import EngineLink
from genai_runtime.models.names import is_inside

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MOST = 32
_SETTLE_SECONDS = 1.0  # the operator gives a pod 2; an answer that takes longer comes with its next question
_FIELD = "options.adapters"
FETCHING = "fetching"
LOADING = "loading"  # told to the engine, which has not said yet what became of it
_log = structlog.get_logger("genai_runtime.options")

# Name and path in the model's folder or source, by name.
Wanted = tuple[tuple[str, str | AdapterSource], ...]


def check_adapters(wanted: Wanted) -> None:
    """Raises `InvalidRequest`."""
    if len({name for name, _ in wanted}) < len(wanted) or len(wanted) > _MOST:
        raise InvalidRequest(_FIELD, f"must be at most {_MOST}, each of another name")
    for name, place in wanted:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(_FIELD, "has a name that is not 1 to 63 letters, digits, '.', '_' and '-'")
        path = place if isinstance(place, str) else place.path or "."
        if not is_inside(path) and path != ".":
            raise InvalidRequest(_FIELD, f"{name}: its path must lead into the model's folder, or into what is fetched")
        if isinstance(place, AdapterSource) and place.fault():
            raise InvalidRequest(_FIELD, f"{name}: {place.fault()}")


class LiveAdapters:
    """Used from the event loop only. `changed` hears the names that requests may use."""

    def __init__(
        self,
        engine: EngineLink,
        folder: Path,
        started_with: Mapping[str, Path],
        changed: Callable[[list[str]], None],
        cache: AdapterCache = NO_CACHE,
    ) -> None:
        self._engine, self._folder, self._changed = engine, folder, changed
        self._started_with = dict(started_with)
        self._answered, self._news = asyncio.Event(), asyncio.Event()
        self._wanted: Wanted | None = None
        self._told: dict[str, Path] = {}
        self._loading: list[AdapterState] = []
        self.fetches = AdapterFetches(cache, self._fetched)
        engine.on_adapters(self._hear)

    @property
    def states(self) -> list[AdapterState]:
        """What the engine says, and of those that it does not know yet, what became of their fetch."""
        fetching = [AdapterState(name, FETCHING) for name in self.fetches.coming]
        failed = [AdapterState(name, "rejected", why) for name, why in self.fetches.failed.items()]
        told = {each.name for each in (*fetching, *failed)}
        # One of this name may be there still, from another source.
        return [*(each for each in self._loading if each.name not in told), *fetching, *failed]

    @property
    def rejected(self) -> bool:
        """Whether one that is wanted cannot be used."""
        return any(each.state == "rejected" for each in self.states)

    def same(self, wanted: Wanted | None, applied: Wanted | None) -> bool:
        """Whether there is nothing to do, nor anything that could go better this time."""
        local = self._local(wanted) == self._local(applied) and _sources(wanted) == _sources(applied)
        return local and not self.rejected

    async def set(self, wanted: Wanted | None) -> None:
        """Have these and no others; None: those that the process was started with. Waits briefly for the engine."""
        self._wanted = wanted
        self.fetches.want(_sources(wanted))
        self._tell()
        try:
            await asyncio.wait_for(self._answered.wait(), _SETTLE_SECONDS)
        except TimeoutError:
            _log.warning("the engine has not said yet what became of the adapters")

    async def settled(self, seconds: float) -> None:
        """When each was loaded or refused, but no later than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(each.state in (FETCHING, LOADING) for each in self.states):
                    self._news.clear()
                    await self._news.wait()

    def _local(self, wanted: Wanted | None) -> dict[str, Path]:
        if wanted is None:
            return self._started_with
        return {name: self._folder / path for name, path in wanted if isinstance(path, str)}

    def _tell(self) -> None:
        paths = self._local(self._wanted) | self.fetches.paths
        self._answered.clear()
        leaving = (each.name for each in self._loading if each.name not in paths and each.state != "rejected")
        self._loading = [
            *(AdapterState(name, LOADING) for name in sorted(paths)),
            *(AdapterState(name, "unloading") for name in leaving),
        ]
        self._told = paths
        self._engine.set_adapters(paths)

    def _fetched(self) -> None:
        """One has come, or cannot be had."""
        if self._local(self._wanted) | self.fetches.paths != self._told:
            self._tell()
        self._news.set()

    def _hear(self, states: list[AdapterState]) -> None:
        self._loading = states
        names = [each.name for each in states if each.state == "loaded"]
        _log.info("adapters", loaded=names, others={each.name: each.state for each in states if each.name not in names})
        self._changed(names)
        self._answered.set()
        self._news.set()


def _sources(wanted: Wanted | None) -> dict[str, AdapterSource]:
    return {name: source for name, source in wanted or () if isinstance(source, AdapterSource)}
