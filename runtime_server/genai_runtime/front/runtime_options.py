"""The live options that this pod has applied, and how new ones are: terminate first, then the profiling window.

Level-triggered: what is wanted is compared with what was applied, so the same options again change nothing, and a
window that ended by its caps does not open again. A window asked for while the model is loading opens when the pod
begins to serve. No gRPC here (`control.py`).
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from genai_runtime.errors import InvalidRequest, RuntimeServerError
from genai_runtime.front.ports import EngineLink, Profiles, WantedWindow
from genai_runtime.front.state import StateHolder
from genai_runtime.profiling.record import LABEL

TERMINATE_SESSION = "terminate-session"
ENABLE_PROFILING = "enable-profiling"
_MAX_REVISION = 128
_log = structlog.get_logger("genai_runtime.options")


@dataclass(frozen=True, slots=True)
class Options:
    """The whole desired live state."""

    terminate_session: bool = False
    profiling: WantedWindow | None = None


@dataclass(slots=True)
class RuntimeOptions:
    """Applies options to the engine. Used from the event loop only."""

    engine: EngineLink
    profiles: Profiles
    state: StateHolder
    unsupported: list[str] = field(default_factory=list)  # names of options this engine cannot apply
    revision: str = ""
    applied: Options = field(default_factory=Options)
    received: asyncio.Event = field(default_factory=asyncio.Event)  # set by the first Set
    _serving: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def set(self, revision: str, wanted: Options) -> None:
        """Make `wanted` the applied state. Raises `InvalidRequest` for options that cannot be read; nothing changed."""
        _check(revision, wanted)
        # Before anything that could wait: a halt must not queue behind a window that is being closed.
        self._apply_terminate(wanted.terminate_session)
        async with self._turn:
            await self._apply_profiling(wanted.profiling)
            self.revision = revision
        self.received.set()

    async def begin_serving(self) -> None:
        """Open the window that was asked for before there was an engine to open it on."""
        async with self._turn:
            self._serving = True
            wanted = self.applied.profiling
            if wanted is None:
                return
            self.applied = Options(self.applied.terminate_session)
            try:
                await self._apply_profiling(wanted)
            except RuntimeServerError as error:
                # Nobody who asks this pod may take it for having what it does not have.
                self.revision = ""
                _log.error("the window asked for during the start cannot be opened", reason=error.message)

    def _apply_terminate(self, terminate: bool) -> None:
        if TERMINATE_SESSION in self.unsupported or terminate == self.applied.terminate_session:
            return
        if terminate:
            self.engine.halt()
        else:
            self.engine.resume()
        self.applied = Options(terminate, self.applied.profiling)
        self.state.update(halted=terminate)
        _log.info("runtime option applied", option=TERMINATE_SESSION, value=int(terminate))

    async def _apply_profiling(self, wanted: WantedWindow | None) -> None:
        if ENABLE_PROFILING in self.unsupported or wanted == self.applied.profiling:
            return
        if self._serving:
            if wanted is None:
                await self.profiles.close("disabled")
            else:
                await self.profiles.open(wanted)
        self.applied = Options(self.applied.terminate_session, wanted)
        _log.info("runtime option applied", option=ENABLE_PROFILING, value=wanted.label if wanted else 0)


def _check(revision: str, wanted: Options) -> None:
    if not 0 < len(revision) <= _MAX_REVISION or not revision.isascii() or not revision.isprintable():
        raise InvalidRequest("revision", f"must be 1 to {_MAX_REVISION} printable ASCII characters")
    if wanted.profiling is not None and not LABEL.fullmatch(wanted.profiling.label):
        raise InvalidRequest("options.profiling.label", "must be 1 to 40 of a-z, 0-9 and '-'")
