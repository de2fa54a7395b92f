"""Triton's trace settings on profiling windows: TIMESTAMPS opens one, OFF closes it, and its count closes it by itself.

Windows that others opened are left alone here. What a window captures is `profiles.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genai_runtime.errors import InvalidRequest, NotServing
from genai_runtime.front.ports import Profiles, WantedWindow
from genai_runtime.profiling.record import ProfileState
from genai_runtime.profiling.selection import Selection

_LABEL = "trace"
_RETRY_SECONDS = 10.0
_DEFAULT_COUNT = "-1"  # the server's own cap
_DEFAULT_RATE = "1"  # every run; Triton's own is 1000
_MOST_RATE = 999_999
# Settings that have one value here, in Triton's words.
_FIXED = {"log_frequency": "0", "trace_mode": "triton"}
_LEVELS = ("OFF", "TIMESTAMPS")
_KNOWN = ("trace_level", "trace_rate", "trace_count", *_FIXED)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What has been set. `count`: runs that are captured until the window closes; `rate`: one run in so many is."""

    count: str = _DEFAULT_COUNT
    rate: str = _DEFAULT_RATE

    def window(self) -> WantedWindow:
        """As the profiles want it."""
        return WantedWindow(_LABEL, max(0, int(self.count)), selection=Selection(runs=f"every {self.rate}"))


class TraceSettings:
    """Used from the event loop only."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._wanted = _Wanted()
        self._ours = ""  # the id of the newest window that was opened here
        self._closing = False  # it was told to close, which takes the engine a moment

    def show(self) -> dict[str, list[str]]:
        """All settings; the level says whether a window of ours is open now."""
        level = "TIMESTAMPS" if self._open() else "OFF"
        return {
            "trace_level": [level],
            "trace_rate": [self._wanted.rate],
            "trace_count": [self._wanted.count],
            **{name: [value] for name, value in _FIXED.items()},
            "trace_file": [""],
        }

    async def update(self, settings: Mapping[str, Sequence[str]]) -> None:
        """Settings without a value go back to their defaults. Everything is checked before anything is changed.

        Raises `InvalidRequest` that names the setting, and what opening a window raises.
        """
        wanted, level = self._wanted, "TIMESTAMPS" if self._open() else "OFF"
        for name, values in settings.items():
            if name == "trace_level":
                level = _level(values)
            elif name == "trace_count":
                wanted = replace(wanted, count=_trace_count(values))
            elif name == "trace_rate":
                wanted = replace(wanted, rate=_trace_rate(values))
            else:
                _check_fixed(name, values)
        again = wanted != self._wanted
        if level == "OFF":
            self._wanted = wanted
            if self._open():
                self._closing = True
                await self._profiles.close("disabled")
        elif again or not self._open():
            await self._open_window(wanted)
            self._wanted = wanted

    async def _open_window(self, wanted: _Wanted) -> None:
        newest = self._profiles.newest()
        if newest is not None and newest.state is ProfileState.OPEN and newest.id != self._ours:
            raise NotServing(
                f"the profiling window {newest.id} is open and was not opened by trace settings; it closes by itself",
                _RETRY_SECONDS,
            )
        await self._profiles.open(wanted.window())
        opened = self._profiles.newest()
        self._ours = opened.id if opened is not None and not opened.window_id else ""
        self._closing = False

    def _open(self) -> bool:
        newest = self._profiles.newest()
        open_ = newest is not None and newest.id == self._ours and newest.state is ProfileState.OPEN
        return open_ and not self._closing


def _level(values: Sequence[str]) -> str:
    """Several levels are a set, as Triton has it."""
    levels = set(values) or {"OFF"}
    if unknown := sorted(levels - set(_LEVELS)):
        raise _wrong("trace_level", f"is {unknown[0]!r:.40}; it must be OFF or TIMESTAMPS: inputs are never recorded")
    if len(levels) > 1:
        raise _wrong("trace_level", "is OFF and TIMESTAMPS at once")
    return levels.pop()


def _trace_count(values: Sequence[str]) -> str:
    if not values or list(values) == [_DEFAULT_COUNT]:
        return _DEFAULT_COUNT
    return _number("trace_count", values, 10**12 - 1, "the number of runs to capture, or -1 for the server's cap")


def _trace_rate(values: Sequence[str]) -> str:
    if not values:
        return _DEFAULT_RATE
    return _number("trace_rate", values, _MOST_RATE, f"1 to {_MOST_RATE}: one run in so many is captured")


def _number(name: str, values: Sequence[str], most: int, must: str) -> str:
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdigit() and len(text) <= 12 and 0 < int(text) <= most):
        raise _wrong(name, f"is {list(values)!r:.60}; it must be {must}")
    return str(int(text))


def _check_fixed(name: str, values: Sequence[str]) -> None:
    if name == "trace_file":
        if any(values):
            raise _wrong(name, "cannot be set by a request; traces are kept by the server, see `genai-runtime ctl`")
    elif name not in _FIXED:
        raise _wrong(name[:100], f"is not known here; known are {', '.join(_KNOWN)}")
    elif list(values) not in ([], [_FIXED[name]]):
        raise _wrong(name, f"is {list(values)!r:.60}; here it is always {_FIXED[name]!r}")


def _wrong(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"settings.{name}", message)
