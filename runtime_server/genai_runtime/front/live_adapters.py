"""The LoRA adapters of the live options: which are wanted, and what the engine says has become of them.

Their files lie in the model's folder, and are named relative to it. Loading is the engine's, option by option
comparing `runtime_options.py`'s.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from genai_runtime.engine.protocol import AdapterState
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.ports import EngineLink
from genai_runtime.models.names import is_inside

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MOST = 32
_SETTLE_SECONDS = 1.0  # the operator gives a pod 2; an answer that takes longer comes with its next question
_FIELD = "options.adapters"
LOADING = "loading"  # told to the engine, which has not said yet what became of it
_log = structlog.get_logger("genai_runtime.options")

# Name and path, by name.
Wanted = tuple[tuple[str, str], ...]


def check_adapters(wanted: Wanted) -> None:
    """Raises `InvalidRequest`."""
    if len({name for name, _ in wanted}) < len(wanted) or len(wanted) > _MOST:
        raise InvalidRequest(_FIELD, f"must be at most {_MOST}, each of another name")
    for name, path in wanted:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(_FIELD, "has a name that is not 1 to 63 letters, digits, '.', '_' and '-'")
        if not is_inside(path):
            raise InvalidRequest(_FIELD, f"{name}: its path must lead into the model's folder")


class LiveAdapters:
    """Used from the event loop only. `changed` hears the names that requests may use."""

    def __init__(
        self, engine: EngineLink, folder: Path, started_with: Mapping[str, Path], changed: Callable[[list[str]], None]
    ) -> None:
        self._engine, self._folder, self._changed = engine, folder, changed
        self._started_with = dict(started_with)
        self._answered = asyncio.Event()
        self.states: list[AdapterState] = []
        engine.on_adapters(self._hear)

    @property
    def rejected(self) -> bool:
        """Whether one that is wanted cannot be used."""
        return any(each.state == "rejected" for each in self.states)

    def same(self, wanted: Wanted | None, applied: Wanted | None) -> bool:
        """Whether there is nothing to do, nor anything that could go better this time."""
        return self._paths(wanted) == self._paths(applied) and not self.rejected

    async def set(self, wanted: Wanted | None) -> None:
        """Have these and no others; None: those that the process was started with. Waits briefly for the engine."""
        paths = self._paths(wanted)
        self._answered.clear()
        leaving = (each.name for each in self.states if each.name not in paths and each.state != "rejected")
        self.states = [AdapterState(name, LOADING) for name in sorted(paths)]
        self.states += [AdapterState(name, "unloading") for name in leaving]
        self._engine.set_adapters(paths)
        try:
            await asyncio.wait_for(self._answered.wait(), _SETTLE_SECONDS)
        except TimeoutError:
            _log.warning("the engine has not said yet what became of the adapters")

    def _paths(self, wanted: Wanted | None) -> dict[str, Path]:
        return self._started_with if wanted is None else {name: self._folder / path for name, path in wanted}

    def _hear(self, states: list[AdapterState]) -> None:
        self.states = states
        names = [each.name for each in states if each.state == "loaded"]
        _log.info("adapters", loaded=names, others={each.name: each.state for each in states if each.name not in names})
        self._changed(names)
        self._answered.set()
