"""Triton's trace settings on profiling windows: TIMESTAMPS opens one, OFF closes it, and its cap closes it by itself.

The operator's own windows come by `control.py` and are left alone here. What a window captures is `profiles.py`'s.
"""

from collections.abc import Mapping, Sequence

from genai_runtime.errors import InvalidRequest, NotServing
from genai_runtime.front.ports import Profiles, WantedWindow
from genai_runtime.profiling.record import ProfileState

_LABEL = "trace"
_RETRY_SECONDS = 10.0
_DEFAULT_COUNT = "-1"  # the server's own cap
# Settings that have one value here, in Triton's words.
_FIXED = {"trace_rate": "1", "log_frequency": "0", "trace_mode": "triton"}
_LEVELS = ("OFF", "TIMESTAMPS")


class TraceSettings:
    """Used from the event loop only."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._count = _DEFAULT_COUNT
        self._ours = ""  # the id of the newest window that was opened here
        self._closing = False  # it was told to close, which takes the engine a moment

    def show(self) -> dict[str, list[str]]:
        """All settings; the level says whether a window of ours is open now."""
        level = "TIMESTAMPS" if self._open() else "OFF"
        return {
            "trace_level": [level],
            "trace_count": [self._count],
            **{name: [value] for name, value in _FIXED.items()},
            "trace_file": [""],
        }

    async def update(self, settings: Mapping[str, Sequence[str]]) -> None:
        """Settings without a value go back to their defaults. Everything is checked before anything is changed.

        Raises `InvalidRequest` that names the setting, and what opening a window raises.
        """
        count, level = self._count, "TIMESTAMPS" if self._open() else "OFF"
        for name, values in settings.items():
            if name == "trace_level":
                level = _level(values)
            elif name == "trace_count":
                count = _trace_count(values)
            else:
                _check_fixed(name, values)
        again = count != self._count
        self._count = count
        if level == "OFF":
            if self._open():
                self._closing = True
                await self._profiles.close("disabled")
        elif again or not self._open():
            await self._open_window()

    async def _open_window(self) -> None:
        newest = self._profiles.newest()
        if newest is not None and newest.state is ProfileState.OPEN and newest.id != self._ours:
            raise NotServing(
                f"the profiling window {newest.id} is open and was not opened by trace settings; it closes by itself",
                _RETRY_SECONDS,
            )
        await self._profiles.open(WantedWindow(_LABEL, max_runs=max(0, int(self._count))))
        opened = self._profiles.newest()
        self._ours, self._closing = opened.id if opened is not None else "", False

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
    if not values:
        return _DEFAULT_COUNT
    text = values[0]
    if len(values) > 1 or not (text == _DEFAULT_COUNT or (text.isascii() and text.isdigit() and int(text[:12]) > 0)):
        raise _wrong(
            "trace_count", f"is {list(values)!r:.60}; it must be the number of runs, or -1 for the server's cap"
        )
    return text[:12]


def _check_fixed(name: str, values: Sequence[str]) -> None:
    if name == "trace_file":
        if any(values):
            raise _wrong(name, "cannot be set by a request; traces are kept by the server, see `genai-runtime ctl`")
    elif name not in _FIXED:
        known = ", ".join(["trace_level", "trace_count", *_FIXED])
        raise _wrong(name[:100], f"is not known here; known are {known}")
    elif list(values) not in ([], [_FIXED[name]]):
        raise _wrong(name, f"is {list(values)!r:.60}; here it is always {_FIXED[name]!r}")


def _wrong(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"settings.{name}", message)
