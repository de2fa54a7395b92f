"""What the front needs of the engine process and of the profile registry; it knows nothing else of them.

Implemented by `engine.process` and `profiles`, and by stand-ins in tests. No behaviour here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genai_runtime.engine.protocol import AdapterState, EngineStats, ModelInfo
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Tokens
from genai_runtime.profiling.record import Profile
from genai_runtime.profiling.selection import Selection
from genai_runtime.profiling.summary import OperatorTime
from genai_runtime.profiling.timeline import Timeline


class EngineStream(Protocol):
    """The events of requests that were submitted together."""

    @property
    def overflowed(self) -> bool:
        """Whether its reader left so much unread that the engine was told to end the requests (CANCELLED)."""
        ...

    async def next_events(self) -> list[Tokens | Finished]:
        """What has happened since the last call, one event at least. Raises `EngineFailure` if the engine died."""
        ...

    def put(self, event: Tokens | Finished) -> bool:
        """As if the engine had said it; what comes after a request's end is dropped."""
        ...


class EngineLink(Protocol):
    """The engine process. Calls that are not async return at once and may be made at any time from the event loop."""

    async def start(self) -> ModelInfo:
        """Spawn and load. Raises `ModelUnusable`, or `EngineFailure` if the process does not come up."""
        ...

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """`listener` hears True when an engine has loaded (the first one too), False when it is gone."""
        ...

    def on_stats(self, listener: Callable[[EngineStats], None]) -> None:
        """`listener` hears the engine's counts about once a second; after a restart they begin at 0 again."""
        ...

    def submit(self, *requests: GenerationRequest, max_unread_bytes: int = 2**20) -> EngineStream:
        """Start generations that one stream tells of.

        Raises `EngineFailure` when there is no engine, `InvalidRequest` for the id of a request that it still has.
        """
        ...

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End it with `reason`; unknown ids are ignored."""
        ...

    def halt(self) -> None:
        """End everything with TERMINATED and refuse new requests the same way. Holds over restarts of the process."""
        ...

    def resume(self) -> None:
        """Take requests again."""
        ...

    def set_log_level(self, level: str) -> None:
        """The engine process's own lines: debug, info, warning or error. Holds over restarts of the process."""
        ...

    def set_arena_shrinkage(self, on: bool) -> None:
        """Whether a prompt's runs give the arena's unused memory back. Holds over restarts of the process."""
        ...

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """Have these LoRA adapters, by name, and no others. Holds over restarts of the process."""
        ...

    def on_adapters(self, listener: Callable[[list[AdapterState]], None]) -> None:
        """`listener` hears of all adapters after `set_adapters`, and when one could be unloaded."""
        ...

    async def stop(self) -> None:
        """End the process."""
        ...


@dataclass(frozen=True, slots=True)
class WantedWindow:
    """A profiling window as asked for; 0 is the server's default for a cap."""

    label: str
    max_runs: int = 0
    max_bytes: int = 0
    max_seconds: int = 0
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class WantedRecorder:
    """Objectives that open a window when they were missed for `for_seconds`; 0 seconds: no such objective."""

    inter_token_p99_seconds: float = 0.0
    time_to_first_token_p99_seconds: float = 0.0
    for_seconds: float = 0.0
    max_per_hour: int = 0  # windows; 0: the recorder's own


class FlightRecorderPort(Protocol):
    """Opens windows by itself, and says in the window's profile what was missed."""

    def configure(self, wanted: WantedRecorder | None) -> None:
        """Watch for this from now on; None: for nothing. The numbers have been checked (`runtime_options.py`)."""
        ...


class Profiles(Protocol):
    """Windows of this pod and the traces made of them."""

    @property
    def timeline(self) -> Timeline:
        """What the server does is said here; kept while a window is open."""
        ...

    async def start(self) -> None:
        """Read what earlier processes of this pod left."""
        ...

    async def open(self, wanted: WantedWindow) -> None:
        """Open a window without an id; another without is closed first, and while one with an id is open, this waits.

        Raises `InvalidRequest` for what the server does not allow.
        """
        ...

    async def open_unless_busy(self, wanted: WantedWindow, trigger: str) -> Profile:
        """Open a window that nobody asked for; `trigger` says why. Raises as `open_with_id`."""
        ...

    def on_end(self, listener: Callable[[Profile], Profile]) -> None:
        """`listener` may add to what is known of each profile that has ended."""
        ...

    async def close(self, reason: str) -> None:
        """Close the open window if it has no id, and forget one that waits."""
        ...

    async def open_with_id(self, window_id: str, wanted: WantedWindow) -> Profile:
        """Open this window, or return what became of it. Raises `AnotherWindowOpen`, and what `open` raises."""
        ...

    async def close_with_id(self, window_id: str) -> Profile:
        """Close this window if it is open. Raises `ProfileNotFound`."""
        ...

    def with_id(self, window_id: str) -> Profile | None:
        """The window that was opened with this id."""
        ...

    async def close_all(self, reason: str) -> None:
        """Close whatever is open, and open nothing any more."""
        ...

    def newest(self) -> Profile | None:
        """The newest window since the process started."""
        ...

    def list(self) -> list[Profile]:
        """Newest first."""
        ...

    def trace_path(self, profile_id: str) -> Path:
        """The merged trace; an empty id is the newest complete one. Raises `ProfileNotFound`."""
        ...

    async def operators(
        self, work: Callable[[], Awaitable[None]], most_runs: int, client: str = ""
    ) -> tuple[OperatorTime, ...]:
        """What operators take a run while `work` runs, of `most_runs` runs at most; no profile comes of it.

        With `client`, only runs that have a request of it count.
        Raises `NotServing` while a window is open, `EngineFailure` when nothing could be timed, and what `work` raises.
        """
        ...

    async def settle(self) -> None:
        """Returns when no window is being closed and nothing is being merged any more."""
        ...

    async def stop(self) -> None:
        """End what is still being merged; the next process takes it up again."""
        ...
