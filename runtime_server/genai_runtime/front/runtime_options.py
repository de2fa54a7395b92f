"""The live options that this pod has applied, and how new ones are: terminate first, then what is done at once.

Level-triggered: what is wanted is compared with what was applied, so the same options again change nothing, and a
window that ended by its caps does not open again. What needs the engine (a halt, a window, its arena) and is asked for
while the model is loading is done when the pod begins to serve: a pod that comes up halted has warmed up, so that it
serves at full speed when it is resumed. No gRPC here (`control.py`); what an option does is in the module of its own:
`drain.py`, `cancel_rules.py`, `logs.py`, `profiles.py`.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace

import structlog

from genai_runtime.errors import InvalidRequest, RuntimeServerError
from genai_runtime.front.cancel_rules import CancelRule, StandingRule
from genai_runtime.front.drain import Drain, check_seconds
from genai_runtime.front.live_adapters import LiveAdapters, Wanted, check_adapters
from genai_runtime.front.logs import LEVELS, LogLevel
from genai_runtime.front.ports import EngineLink, FlightRecorderPort, Profiles, WantedRecorder, WantedWindow
from genai_runtime.front.state import StateHolder
from genai_runtime.profiling.record import LABEL

TERMINATE_SESSION = "terminate-session"
ENABLE_PROFILING = "enable-profiling"
LOG_LEVEL = "log-level"
ARENA_SHRINKAGE = "arena-shrinkage"
DRAIN = "drain"
CANCEL = "cancel"
FLIGHT_RECORDER = "flight-recorder"
ADAPTERS = "adapters"
_MAX_REVISION = 128
_LONGEST_OBJECTIVE = 3600.0
_log = structlog.get_logger("genai_runtime.options")


@dataclass(frozen=True, slots=True)
class Options:
    """The whole desired live state; every default is that an option is not wanted."""

    terminate_session: bool = False
    profiling: WantedWindow | None = None
    log_level: str = ""
    arena_shrinkage: bool = False
    drain_seconds: int | None = None
    cancel: CancelRule | None = None
    flight_recorder: WantedRecorder | None = None
    adapters: Wanted | None = None  # None: as the process was started

    def wanted(self) -> set[str]:
        """Names of the options that are asked for."""
        asked = {
            TERMINATE_SESSION: self.terminate_session,
            ENABLE_PROFILING: self.profiling is not None,
            LOG_LEVEL: bool(self.log_level),
            ARENA_SHRINKAGE: self.arena_shrinkage,
            DRAIN: self.drain_seconds is not None,
            CANCEL: self.cancel is not None,
            FLIGHT_RECORDER: self.flight_recorder is not None,
        }
        return {name for name, is_asked in asked.items() if is_asked}


@dataclass(frozen=True, slots=True)
class Parts:
    """What options act on, beside the engine and its windows."""

    level: LogLevel
    drain: Drain
    rule: StandingRule
    adapters: LiveAdapters


@dataclass(slots=True)
class RuntimeOptions:
    """Applies options. Used from the event loop only. `recorder` is set where there is a flight recorder."""

    engine: EngineLink
    profiles: Profiles
    state: StateHolder
    parts: Parts
    recorder: FlightRecorderPort | None = None
    unsupported: list[str] = field(default_factory=list)  # names of options this engine cannot apply
    revision: str = ""
    applied: Options = field(default_factory=Options)
    received: asyncio.Event = field(default_factory=asyncio.Event)  # set by the first Set
    _asked: Options = field(default_factory=Options)
    _serving: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def set(self, revision: str, wanted: Options) -> None:
        """Make `wanted` the applied state. Raises `InvalidRequest` for options that cannot be read; nothing changed."""
        _check(revision, wanted)
        # Before anything that could wait: a halt must not queue behind a window that is being closed.
        self._apply_terminate(wanted.terminate_session)
        self._apply_at_once(wanted)
        self._asked = wanted
        async with self._turn:
            await self._apply_profiling(wanted.profiling)
            await self._apply_adapters(wanted.adapters)
            self.revision = revision
        self.received.set()

    async def begin_serving(self) -> None:
        """Do what was asked for before there was an engine to do it."""
        async with self._turn:
            self._serving = True
            wanted = self.applied
            self.applied = replace(
                wanted, terminate_session=False, profiling=None, arena_shrinkage=False, adapters=None
            )
            self._apply_terminate(wanted.terminate_session)
            self._apply_arena(wanted.arena_shrinkage)
            await self._apply_adapters(wanted.adapters)
            if self.missing():
                self.revision = ""  # nobody who asks this pod may take it for having what it does not have
            try:
                await self._apply_profiling(wanted.profiling)
            except RuntimeServerError as error:
                self.revision = ""
                _log.error("the window asked for during the start cannot be opened", reason=error.message)

    def missing(self) -> list[str]:
        """Names of the options that are asked for and that this server cannot apply; the others are applied."""
        absent = {*self.unsupported} | ({FLIGHT_RECORDER} if self.recorder is None else set())
        return sorted(self._asked.wanted() & absent)

    def _apply_terminate(self, terminate: bool) -> None:
        if TERMINATE_SESSION in self.unsupported or terminate == self.applied.terminate_session:
            return
        self.applied = replace(self.applied, terminate_session=terminate)
        if not self._serving:
            return
        if terminate:
            self.engine.halt()
        else:
            self.engine.resume()
        self.state.update(halted=terminate)
        _log.info("runtime option applied", option=TERMINATE_SESSION, value=int(terminate))

    def _apply_at_once(self, wanted: Options) -> None:
        """The log level last, so that it hides none of these lines."""
        if wanted.flight_recorder != self.applied.flight_recorder and self.recorder is not None:
            self.recorder.configure(wanted.flight_recorder)
            self._now(FLIGHT_RECORDER, int(wanted.flight_recorder is not None), flight_recorder=wanted.flight_recorder)
        if wanted.cancel != self.applied.cancel:
            self._now(CANCEL, wanted.cancel.words() if wanted.cancel else 0, cancel=wanted.cancel)
            self.parts.rule.set(wanted.cancel)
        if wanted.drain_seconds != self.applied.drain_seconds:
            self._now(DRAIN, wanted.drain_seconds or 0, drain_seconds=wanted.drain_seconds)
            self.parts.drain.set(wanted.drain_seconds or 0)
        self._apply_arena(wanted.arena_shrinkage)
        if wanted.log_level != self.applied.log_level:
            self._now(LOG_LEVEL, wanted.log_level, log_level=wanted.log_level)
            self.parts.level.set_option(wanted.log_level)

    def _apply_arena(self, shrink: bool) -> None:
        if ARENA_SHRINKAGE in self.unsupported or shrink == self.applied.arena_shrinkage:
            return
        if self._serving:
            self.engine.set_arena_shrinkage(shrink)
        self._now(ARENA_SHRINKAGE, int(shrink), arena_shrinkage=shrink)

    def _now(self, option: str, value: object, **changed: object) -> None:
        """It is applied from here on."""
        self.applied = replace(self.applied, **changed)  # type: ignore[arg-type]  # fields of Options by name
        _log.info("runtime option applied", option=option, value=value)

    async def _apply_profiling(self, wanted: WantedWindow | None) -> None:
        if ENABLE_PROFILING in self.unsupported or wanted == self.applied.profiling:
            return
        if self._serving:
            if wanted is None:
                await self.profiles.close("disabled")
            else:
                await self.profiles.open(wanted)
        self.applied = replace(self.applied, profiling=wanted)
        _log.info("runtime option applied", option=ENABLE_PROFILING, value=wanted.label if wanted else 0)

    async def _apply_adapters(self, wanted: Wanted | None) -> None:
        """The same ones again, if one was rejected: its file may be there by now."""
        same = self.parts.adapters.same(wanted, self.applied.adapters)
        if self._serving and not same:
            await self.parts.adapters.set(wanted)
        if wanted != self.applied.adapters:
            self._now(ADAPTERS, len(wanted or ()), adapters=wanted)


def _check(revision: str, wanted: Options) -> None:
    if not 0 < len(revision) <= _MAX_REVISION or not revision.isascii() or not revision.isprintable():
        raise InvalidRequest("revision", f"must be 1 to {_MAX_REVISION} printable ASCII characters")
    if wanted.profiling is not None and not LABEL.fullmatch(wanted.profiling.label):
        raise InvalidRequest("options.profiling.label", "must be 1 to 40 of a-z, 0-9 and '-'")
    if wanted.log_level and wanted.log_level not in LEVELS:
        raise InvalidRequest("options.log_level", f"is {wanted.log_level!r:.40}; it must be one of {', '.join(LEVELS)}")
    if wanted.drain_seconds is not None:
        check_seconds(wanted.drain_seconds)
    if wanted.cancel is not None:
        wanted.cancel.check()
    if wanted.adapters is not None:
        check_adapters(wanted.adapters)
    if wanted.flight_recorder is not None:
        _check_recorder(wanted.flight_recorder)


def _check_recorder(wanted: WantedRecorder) -> None:
    objectives = {
        "inter_token_p99_seconds": wanted.inter_token_p99_seconds,
        "time_to_first_token_p99_seconds": wanted.time_to_first_token_p99_seconds,
    }
    for name, seconds in {**objectives, "for_seconds": wanted.for_seconds}.items():
        if not (math.isfinite(seconds) and 0 <= seconds <= _LONGEST_OBJECTIVE):
            raise InvalidRequest(f"options.flight_recorder.{name}", f"is {seconds}; it must be 0 to 3600 seconds")
    if not any(objectives.values()):
        raise InvalidRequest("options.flight_recorder", f"has no objective; set {' or '.join(objectives)}")
