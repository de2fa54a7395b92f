"""Opens a profiling window by itself when an objective was missed for a while, and says which operators grew.

Level-triggered once a second over what the metrics observe. What is measured is `metrics.py`'s, how a percentile rolls
`rolling.py`'s; windows and their traces are the registry's, and whose window goes first is decided there.
"""

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from genai_runtime.errors import RuntimeServerError
from genai_runtime.front.distribution import Distribution
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.ports import Profiles, WantedRecorder, WantedWindow
from genai_runtime.front.rolling import RollingPercentile
from genai_runtime.profiling.growth import OperatorGrowth, grown
from genai_runtime.profiling.record import Profile, ProfileState
from genai_runtime.profiling.summary import OperatorTime

LABEL = "flight-recorder"
_TICK_SECONDS = 1.0
# A percentile is of a third of the time that an objective must be missed for, so that a short spike is not enough.
_LONGEST_LOOK = 10
_HOUR = 3600.0
_DEFAULT_PER_HOUR = 1
_log = structlog.get_logger("genai_runtime.flight_recorder")


@dataclass(slots=True)
class _Objective:
    """One limit on a 99th percentile, and since when it has been missed (on the monotonic clock)."""

    words: str
    source: Distribution
    rolling: RollingPercentile
    missed_since: float | None = None

    def look(self, now: float) -> float:
        """Begin a new second; the percentile of those before it."""
        found = self.rolling.p99()
        self.rolling.advance()
        if found <= self.rolling.objective:
            self.missed_since = None
        elif self.missed_since is None:
            self.missed_since = now
        return found


class FlightRecorder:
    """Used from the event loop only. `warmup` is what operators took in the warm-up, until a good window is known."""

    def __init__(self, metrics: Metrics, profiles: Profiles, clock: Callable[[], float] = time.monotonic) -> None:
        self.warmup: tuple[OperatorTime, ...] = ()
        self._metrics = metrics
        self._profiles = profiles
        self._clock = clock
        self._wanted: WantedRecorder | None = None
        self._since_ms = 0  # when the present objectives began
        self._objectives: list[_Objective] = []
        self._good: tuple[OperatorTime, ...] = ()
        self._missed_ms = 0  # Unix time; when an objective was last missed
        self._opened: deque[float] = deque()
        self._task: asyncio.Task[None] | None = None
        self._refused = ""
        profiles.on_end(self.ended)

    def configure(self, wanted: WantedRecorder | None) -> None:
        """Watch for this from now on; None: for nothing. What was opened in the last hour counts on."""
        self._wanted = wanted
        for objective in self._objectives:
            objective.source.watcher = None
        self._objectives = self._make(wanted) if wanted is not None else []
        for objective in self._objectives:
            objective.source.watcher = objective.rolling.observe
        self._since_ms = _now_ms()
        self._refused = ""
        if wanted is None:
            self.stop()
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="flight recorder")

    def stop(self) -> None:
        """Open nothing any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def look(self) -> None:
        """What is done once a second."""
        wanted, now = self._wanted, self._clock()
        if wanted is None:
            return
        found = [(objective, objective.look(now)) for objective in self._objectives]
        missed = [(each, p99) for each, p99 in found if each.missed_since is not None]
        if missed:
            self._missed_ms = _now_ms()
        for objective, p99 in missed:
            if objective.missed_since is not None and now - objective.missed_since >= wanted.for_seconds:
                await self._open(wanted, objective, p99, now)
                return

    def ended(self, profile: Profile) -> Profile:
        """The profile with what grew if it is ours; another one may be what the next one of ours is compared with."""
        if profile.state is not ProfileState.COMPLETE:
            return profile
        if profile.trigger:
            compared = grown(self._good or self.warmup, profile.operators)
            return dataclasses.replace(profile, grown=compared, trigger=profile.trigger + _words(compared))
        if self._wanted is not None and profile.opened_unix_ms >= max(self._since_ms, self._missed_ms):
            self._good = profile.operators
        return profile

    def _make(self, wanted: WantedRecorder) -> list[_Objective]:
        slices = max(1, min(_LONGEST_LOOK, round(wanted.for_seconds / 3)))
        limits = (
            ("time between two tokens", self._metrics.inter_token_seconds, wanted.inter_token_p99_seconds),
            ("time to the first token", self._metrics.first_token_seconds, wanted.time_to_first_token_p99_seconds),
        )
        return [
            _Objective(words, source, RollingPercentile(seconds, slices))
            for words, source, seconds in limits
            if seconds
        ]

    async def _open(self, wanted: WantedRecorder, objective: _Objective, p99: float, now: float) -> None:
        while self._opened and now - self._opened[0] >= _HOUR:
            self._opened.popleft()
        if len(self._opened) >= (wanted.max_per_hour or _DEFAULT_PER_HOUR):
            return
        trigger = (
            f"p99 of the {objective.words} was {_milliseconds(p99)}, over {_milliseconds(objective.rolling.objective)} "
            f"for {wanted.for_seconds:g} s"
        )
        try:
            profile = await self._profiles.open_unless_busy(WantedWindow(LABEL), trigger)
        except RuntimeServerError as error:
            if error.message != self._refused:
                _log.warning("flight recorder cannot open its window yet", trigger=trigger, reason=error.message)
            self._refused = error.message
            return
        self._refused = ""
        self._opened.append(now)
        _log.warning("flight recorder opened a window", profile=profile.id, trigger=trigger)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await self.look()


def _words(compared: tuple[OperatorGrowth, ...]) -> str:
    """What grew most, to end the sentence of what was missed."""
    if not compared:
        return ""
    most = compared[0]
    took = f"{most.op_type} took {most.microseconds_per_run:.0f} us a run"
    return f"; {took}, {most.before_microseconds_per_run:.0f} before"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
