"""Caps of profiling windows and of what is kept, and how what was asked for becomes a window. No I/O."""

from dataclasses import dataclass

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.ports import WantedWindow
from genai_runtime.profiling.record import LABEL
from genai_runtime.profiling.selection import InvalidSelection, check

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

    def window(self, window_id: str, wanted: WantedWindow, field: str = "options.profiling") -> Window:
        """The window with 0 replaced by defaults; `field` is where a caller wrote what was wanted.

        Raises `InvalidRequest` for a label, a selection, or a cap that is too large or negative.
        """
        if not LABEL.fullmatch(wanted.label):
            raise InvalidRequest(f"{field}.label", "must be 1 to 40 of a-z, 0-9 and '-'")
        try:
            check(wanted.selection)
        except InvalidSelection as error:
            raise InvalidRequest(f"{field}.{error.field}", str(error)) from error
        return Window(
            window_id,
            _cap(f"{field}.max_runs", wanted.max_runs, self.default_runs, self.most_runs),
            _cap(f"{field}.max_bytes", wanted.max_bytes, self.default_bytes, self.most_bytes),
            float(_cap(f"{field}.max_seconds", wanted.max_seconds, self.default_seconds, self.most_seconds)),
            wanted.selection,
        )


def _cap(field: str, asked: int, default: int, most: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidRequest(field, f"must be 0 (the default, {default}) to {most}, not {asked}")
    return asked or default
