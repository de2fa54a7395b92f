"""Caps of profiling windows and of what is kept, and how asked-for caps become a window's. No I/O."""

from dataclasses import dataclass

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.ports import WantedWindow

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProfileLimits:
    """Defaults and maxima of a window's caps, then what is kept.

    A window's raw bytes and the kept traces share one volume: `most_bytes` + `kept_bytes` must fit in it.
    """

    default_runs: int = 500
    default_bytes: int = 64 * MIB
    default_seconds: int = 60
    most_runs: int = 1_000_000
    most_bytes: int = 512 * MIB
    most_seconds: int = 3600
    kept_profiles: int = 20
    kept_bytes: int = 256 * MIB

    def window(self, window_id: str, wanted: WantedWindow) -> Window:
        """The window with 0 replaced by defaults. Raises `InvalidRequest` for a cap that is too large or negative."""
        return Window(
            window_id,
            _cap("max_runs", wanted.max_runs, self.default_runs, self.most_runs),
            _cap("max_bytes", wanted.max_bytes, self.default_bytes, self.most_bytes),
            float(_cap("max_seconds", wanted.max_seconds, self.default_seconds, self.most_seconds)),
        )


def _cap(name: str, asked: int, default: int, most: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidRequest(f"options.profiling.{name}", f"must be 0 (the default, {default}) to {most}, not {asked}")
    return asked or default
