"""Triton's log settings on the server's live log level, which is `logs.py`'s; null goes back to its base.

Triton switches each level by itself; here levels are ordered, so what is switched on must not lie under what is off.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.logs import LogLevel

Value = bool | int | str
# The level at which each of Triton's switches is on.
_SWITCHES = {"log_info": logging.INFO, "log_warning": logging.WARNING, "log_error": logging.ERROR}
_VERBOSE = "log_verbose_level"
_FORMAT = "ISO8601"


class LogSettings:
    """One view of the level; there may be others who change it."""

    def __init__(self, level: LogLevel) -> None:
        self._level = level
        self._set: dict[str, bool | int] = {}  # by requests; what is not here follows the level's base

    def show(self) -> dict[str, Value]:
        """All settings."""
        return {**_settings_of(self._level.level), "log_format": _FORMAT, "log_file": ""}

    def update(self, settings: Mapping[str, Value | None]) -> None:
        """None goes back to the default. Raises `InvalidRequest` that names the setting; nothing is changed then."""
        defaults = _settings_of(self._level.base)
        wanted = self._still_set(defaults)
        for name, value in settings.items():
            if name in defaults:
                wanted.pop(name, None)
                if value is not None:
                    wanted[name] = _checked(name, value)
            elif name == "log_format":
                if value not in (None, _FORMAT):
                    raise _wrong(name, f"is {value!r:.40}; lines are JSON with times as {_FORMAT}")
            elif name == "log_file":
                if value:
                    raise _wrong(name, "cannot be set by a request; the log is the process's standard error")
            else:
                raise _wrong(name[:100], f"is not known here; known are {', '.join([*defaults, 'log_format'])}")
        self._level.set_requested(_level_of({**defaults, **wanted}))
        self._set = wanted

    def _still_set(self, defaults: Mapping[str, bool | int]) -> dict[str, bool | int]:
        """Nothing, if the level is another one by now: the runtime option has changed, and its level holds."""
        with suppress(InvalidRequest):
            if _level_of({**defaults, **self._set}) == self._level.level:
                return dict(self._set)
        return {}


def _settings_of(level: int) -> dict[str, bool | int]:
    found: dict[str, bool | int] = {name: level <= lowest for name, lowest in _SWITCHES.items()}
    return {**found, _VERBOSE: 1 if level <= logging.DEBUG else 0}


def _level_of(settings: Mapping[str, bool | int]) -> int:
    if settings[_VERBOSE]:
        return logging.DEBUG
    on = [name for name in _SWITCHES if settings[name]]
    if "log_error" not in on:
        raise _wrong("log_error", "cannot be off: a server that cannot say what is wrong helps nobody")
    if on == ["log_info", "log_error"]:
        raise _wrong("log_warning", "cannot be off while log_info is on: levels are ordered here")
    return _SWITCHES[on[0]]


def _checked(name: str, value: Value) -> bool | int:
    if name == _VERBOSE:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(name, f"is {value!r:.40}; it must be a whole number, 0 for off")
        return value
    if not isinstance(value, bool):
        raise _wrong(name, f"is {value!r:.40}; it must be true or false")
    return value


def _wrong(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"settings.{name}", message)
