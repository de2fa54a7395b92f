"""Profiles of this pod: windows opened and closed on the engine, one at a time, and who has to wait for whom.

One window is open at a time. One with a window_id of its own is never closed for another, and known by that id as long
as its profile is kept, also to the next process; a window without one is replaced by the next of its kind, and waits
while there is one with an id.

Used from the event loop only. Which runs are profiled is the engine's work (`profiling.window`); what is
kept of them is `profile_archive`'s; how a profile looks to a client is the control service's.
"""

import asyncio
import dataclasses
import socket
from builtins import list as List  # noqa: N812 - a method here is called list, as in the port
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import AnotherWindowOpen, InvalidRequest, NotServing, ProfileNotFound, RuntimeServerError
from genai_runtime.front.own_windows import OwnWindows
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.profile_archive import ProfileArchive
from genai_runtime.front.profile_ends import now_ms
from genai_runtime.front.profile_limits import ProfileLimits
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.record import WINDOW_ID, Profile, ProfileState
from genai_runtime.profiling.selection import Chooser, Selection
from genai_runtime.profiling.summary import OperatorTime
from genai_runtime.profiling.timeline import Timeline

# The engine closes windows by itself; this long after the cap it is told to, should it sit idle.
_GRACE_SECONDS = 1.0
_ROOM_SECONDS = 5.0
_WAITING_RETRY = 1.0
_log = structlog.get_logger("genai_runtime.profiles")


class WindowEngine(Protocol):
    """What profiles need of the engine process. Nothing here blocks."""

    def open_window(self, window: Window) -> None:
        """See `Engine.open_window`. Raises `EngineFailure` when there is no engine."""
        ...

    def close_window(self, reason: str) -> None:
        """See `Engine.close_window`; without an engine there is nothing to close."""
        ...

    def on_window_progress(self, listener: Callable[[WindowProgress], None]) -> None:
        """`listener` hears every `WindowProgress`, on the event loop."""
        ...

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """`listener` hears False when the engine is gone."""
        ...


class ProfileRegistry:
    """All profiles of one folder. Call `start` once before anything else and `stop` last."""

    def __init__(
        self,
        folder: Path,
        engine: WindowEngine,
        process_name: str | None = None,
        limits: ProfileLimits | None = None,
    ) -> None:
        self._limits = limits or ProfileLimits()
        self._archive = ProfileArchive(folder, process_name or socket.gethostname(), self._limits)  # in a pod: its name
        self._engine = engine
        self._own_windows = OwnWindows(folder, engine)
        self.timeline = Timeline(report=lambda error: _log.warning("own spans cannot be kept", error=str(error)))
        self._newest = ""
        self._count = 0
        self._closing: set[str] = set()
        self._waiting: WantedWindow | None = None
        self._turn = asyncio.Lock()  # who opens or closes
        self._stopping = False
        self._opening: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        engine.on_window_progress(self.on_progress)
        engine.on_change(self._engine_changed)

    async def start(self) -> None:
        """Read what earlier processes of this pod left and merge what they had captured. Never fails: it is logged."""
        try:
            await asyncio.to_thread(self._own_windows.clear)
        except OSError as error:
            _log.error("what timing left cannot be removed", error=str(error))
        await self._archive.start()
        self._count = len(self._archive.profiles)

    async def stop(self) -> None:
        """End merges in progress; their raw runs stay for the next process. Call `settle` first to keep them."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        for task in (tasks := list(self._opening)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._archive.stop()

    async def open(self, wanted: WantedWindow) -> None:
        """Open a window without an id, or let it wait while one with an id is open; another without is "replaced".

        Raises `InvalidRequest` for a label, a selection or a cap that cannot be, `EngineFailure` without an engine,
        `NotServing` while the volume is still full of windows that are being merged, or the server times its operators.
        """
        self._limits.window("", wanted)
        async with self._turn:
            if other := self._open_with_id():
                self._waiting = wanted
                _log.info("profiling window waits", label=wanted.label, open=other.id)
            else:
                await self._open(wanted)

    async def open_unless_busy(self, wanted: WantedWindow, trigger: str) -> Profile:
        """Open a window that nobody asked for: `open` replaces it like any other. Raises as `open_with_id`."""
        async with self._turn:
            self._refuse_beside_another()
            return await self._open(wanted, trigger=trigger)

    def on_end(self, listener: Callable[[Profile], Profile]) -> None:
        """`listener` may add to what is known of each profile that has ended, before it is told."""
        self._archive.finish = listener

    async def open_with_id(self, window_id: str, wanted: WantedWindow) -> Profile:
        """Open this window, or return what became of it: one that is known is never opened a second time.

        Raises `AnotherWindowOpen`, and what `open` raises.
        """
        if not WINDOW_ID.fullmatch(window_id):
            raise InvalidRequest("window_id", "must be 1 to 64 of a-z, 0-9 and '-'")
        async with self._turn:
            if known := self.with_id(window_id):
                return known
            self._refuse_beside_another()
            return await self._open(wanted, window_id)

    async def close(self, reason: str) -> None:
        """Close the open window that has no id, and forget one that waits; what was captured is merged."""
        async with self._turn:
            self._waiting = None
            self._end([profile for profile in self._archive.open_ones() if not profile.window_id], reason)

    async def close_with_id(self, window_id: str) -> Profile:
        """Close this window if it is open ("disabled"); its end follows. Raises `ProfileNotFound`."""
        async with self._turn:
            profile = self.with_id(window_id)
            if profile is None:
                raise ProfileNotFound("No window of this id is known here; it may never have been opened on this pod.")
            if profile.state is ProfileState.OPEN:
                self._end([profile], "disabled")
            return profile

    async def close_all(self, reason: str) -> None:
        """Close whatever is open, and open nothing any more."""
        self._stopping = True
        async with self._turn:
            self._waiting = None
            self._end(self._archive.open_ones(), reason)

    async def operators(
        self, work: Callable[[], Awaitable[None]], most_runs: int, client: str = ""
    ) -> tuple[OperatorTime, ...]:
        """What operators take a run while `work` runs, in a window of the server's own that becomes no profile.

        Raises `NotServing` while a window is open, `EngineFailure` when nothing could be timed, and what `work` raises.
        """
        if self._own_windows.open or self._turn.locked() or self._archive.open_ones():
            raise NotServing("a profiling window is open; try again when it has closed", _ROOM_SECONDS)
        return await self._own_windows.operators(work, most_runs, Selection(clients=(client,) if client else ()))

    def on_progress(self, progress: WindowProgress) -> None:
        """Take the engine's word about a window; the last word starts the merge."""
        profile = self._archive.profiles.get(progress.window_id)
        if profile is None or profile.state is not ProfileState.OPEN:
            return
        self._archive.profiles[profile.id] = dataclasses.replace(
            profile,
            runs=progress.runs,
            requests=progress.requests,
            captured_bytes=progress.captured_bytes,
            dropped_runs=progress.dropped_runs,
            skipped_runs=progress.skipped_runs,
            overhead_percent=progress.overhead_percent,
            message=progress.message,
        )
        if progress.closed:
            self._closed(profile.id, progress.close_reason)

    def newest(self) -> Profile | None:
        """The newest window since the process started."""
        return self._archive.profiles.get(self._newest)

    def get(self, profile_id: str) -> Profile | None:
        """The profile of that id."""
        return self._archive.profiles.get(profile_id)

    def with_id(self, window_id: str) -> Profile | None:
        """The window that was opened with this id."""
        return self._archive.with_id(window_id)

    def list(self) -> List[Profile]:
        """Newest first."""
        return self._archive.list()

    def trace_path(self, profile_id: str) -> Path:
        """The merged trace; an empty id is the newest complete one. Raises `ProfileNotFound`."""
        return self._archive.trace_path(profile_id)

    async def settle(self) -> None:
        """Return when no window is being closed and nothing is being merged any more."""
        while self._closing or self._archive.merges or self._turn.locked():
            if self._archive.merges:
                await asyncio.wait(self._archive.merges, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.01)

    def _refuse_beside_another(self) -> None:
        for other in self._archive.open_ones():
            raise AnotherWindowOpen(f"the profiling window {other.id} is open; it closes by itself at its caps")

    async def _open(self, wanted: WantedWindow, window_id: str = "", trigger: str = "") -> Profile:
        """With the turn taken. The record first: an id must never be forgotten of which the engine has heard."""
        if self._stopping:
            raise NotServing("the server is shutting down", _ROOM_SECONDS)
        self._need_room()
        if self._own_windows.open:
            raise NotServing("the server is timing its own operators; try again", _ROOM_SECONDS)
        field = "spec" if window_id else "options.profiling"
        window = self._limits.window(self._new_id(wanted.label), wanted, field)
        profile = Profile(
            window.window_id, wanted.label, ProfileState.OPEN, now_ms(), window_id=window_id, trigger=trigger
        )
        await self._archive.save(profile)
        try:
            self._engine.open_window(window)
        except RuntimeServerError:
            await self._archive.forget(profile.id)
            raise
        self._waiting = None
        self._closing.update(each.id for each in self._archive.open_ones())  # the engine closes it for this one
        self._archive.profiles[profile.id] = profile
        self._newest = profile.id
        chooser = Chooser(window.selection)
        self.timeline.begin(
            self._archive.raw_folder(profile.id), lambda request: chooser.chooses(request.request_id, request.client)
        )
        self._timers[profile.id] = asyncio.get_running_loop().call_later(
            window.max_seconds + _GRACE_SECONDS, self._overdue, profile.id
        )
        _log.info("profiling window opened", profile=profile.id, window_id=window_id)
        return profile

    def _end(self, profiles: List[Profile], reason: str) -> None:
        if profiles:
            self._closing.update(profile.id for profile in profiles)
            self._engine.close_window(reason)

    def _open_with_id(self) -> Profile | None:
        return next((profile for profile in self._archive.open_ones() if profile.window_id), None)

    def _begin_waiting(self) -> None:
        if self._waiting is not None and not self._stopping:
            task = asyncio.get_running_loop().create_task(self._open_waiting(), name="waiting window")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_waiting(self) -> None:
        """The window that waited; again and again while the engine is gone or the volume is full."""
        async with self._turn:
            wanted = self._waiting
            if wanted is None or self._archive.open_ones():
                return
            try:
                await self._open(wanted)
            except RuntimeServerError as error:
                _log.warning("a waiting window cannot be opened yet", label=wanted.label, reason=error.message)
                asyncio.get_running_loop().call_later(_WAITING_RETRY, self._begin_waiting)

    def _need_room(self) -> None:
        """The volume's size limit cannot be seen from inside, and a pod that goes over it is evicted."""
        raw = self._archive.raw_bytes()
        if raw > self._limits.most_bytes:
            raise NotServing(f"earlier windows with {raw} bytes are still being merged; try again", _ROOM_SECONDS)

    def _new_id(self, label: str) -> str:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        while True:
            self._count += 1
            profile_id = f"{label}-{moment}-{self._count}"
            if profile_id not in self._archive.profiles:
                return profile_id

    def _overdue(self, profile_id: str) -> None:
        if self._archive.profiles[profile_id].state is ProfileState.OPEN:
            self._engine.close_window("max_seconds")

    def _engine_changed(self, alive: bool) -> None:
        if not alive:
            for profile in self._archive.open_ones():
                self._closed(profile.id, "engine_restart")

    def _closed(self, profile_id: str, reason: str) -> None:
        self._timers.pop(profile_id).cancel()
        self._closing.discard(profile_id)
        self.timeline.end(self._archive.raw_folder(profile_id))
        profile = self._archive.profiles[profile_id]
        self._archive.profiles[profile_id] = dataclasses.replace(
            profile, state=ProfileState.MERGING, close_reason=reason, closed_unix_ms=now_ms()
        )
        _log.info("profiling window closed", profile=profile_id, reason=reason, runs=profile.runs)
        self._archive.merge_later(profile_id)
        self._begin_waiting()
