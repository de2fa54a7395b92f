"""Profiles of this pod: windows opened on the engine, their traces merged, kept within limits, listed across restarts.

One window is open at a time. One with a window_id of its own is never closed for another, and known by that id as long
as its profile is kept, also to the next process; a window without one is replaced by the next of its kind, and waits
while there is one with an id.

Used from the event loop only. Which runs are profiled is the engine's work (`profiling.window`); the files are
`profiling.store`'s; how a profile looks to a client is the control service's.
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
from genai_runtime.front.profile_ends import failed, merged, now_ms
from genai_runtime.front.profile_limits import ProfileLimits
from genai_runtime.front.trace_merging import MergeFailed, merge_trace
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.record import WINDOW_ID, Profile, ProfileState
from genai_runtime.profiling.selection import Chooser, Selection
from genai_runtime.profiling.store import ProfileStore
from genai_runtime.profiling.summary import OperatorTime
from genai_runtime.profiling.timeline import Timeline

# The engine closes windows by itself; this long after the cap it is told to, should it sit idle.
_GRACE_SECONDS = 1.0
_ROOM_SECONDS = 5.0
_WAITING_RETRY = 1.0
_ENDED = (ProfileState.COMPLETE, ProfileState.FAILED)
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
        self._store = ProfileStore(folder)
        self._engine = engine
        self._own_windows = OwnWindows(folder, engine)
        self._finish: Callable[[Profile], Profile] = lambda profile: profile
        self.timeline = Timeline(report=lambda error: _log.warning("own spans cannot be kept", error=str(error)))
        self._process_name = process_name or socket.gethostname()  # in a pod: its name
        self._limits = limits or ProfileLimits()
        self._profiles: dict[str, Profile] = {}  # oldest first
        self._newest = ""
        self._count = 0
        self._closing: set[str] = set()
        self._waiting: WantedWindow | None = None
        self._turn = asyncio.Lock()  # who opens or closes
        self._stopping = False
        self._opening: set[asyncio.Task[None]] = set()
        self._merges: set[asyncio.Task[None]] = set()
        self._one_merge = asyncio.Lock()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        engine.on_window_progress(self.on_progress)
        engine.on_change(self._engine_changed)

    async def start(self) -> None:
        """Read what earlier processes of this pod left and merge what they had captured. Never fails: it is logged."""
        try:
            await asyncio.to_thread(self._store.folder.mkdir, parents=True, exist_ok=True)
            await asyncio.to_thread(self._own_windows.clear)
            found = await asyncio.to_thread(self._store.load)
        except OSError as error:
            _log.error("profiles cannot be kept", folder=str(self._store.folder), error=str(error))
            return
        for profile in found:
            self._profiles[profile.id] = profile
            if profile.state is ProfileState.MERGING:
                self._merge_later(profile.id)
            else:
                await self._save(profile)
        self._count = len(found)

    async def stop(self) -> None:
        """End merges in progress; their raw runs stay for the next process. Call `settle` first to keep them."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = [*self._merges, *self._opening]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
        self._finish = listener

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
            self._end([profile for profile in self._open_ones() if not profile.window_id], reason)

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
            self._end(self._open_ones(), reason)

    async def operators(
        self, work: Callable[[], Awaitable[None]], most_runs: int, client: str = ""
    ) -> tuple[OperatorTime, ...]:
        """What operators take a run while `work` runs, in a window of the server's own that becomes no profile.

        Raises `NotServing` while a window is open, `EngineFailure` when nothing could be timed, and what `work` raises.
        """
        if self._own_windows.open or self._turn.locked() or self._open_ones():
            raise NotServing("a profiling window is open; try again when it has closed", _ROOM_SECONDS)
        return await self._own_windows.operators(work, most_runs, Selection(clients=(client,) if client else ()))

    def on_progress(self, progress: WindowProgress) -> None:
        """Take the engine's word about a window; the last word starts the merge."""
        profile = self._profiles.get(progress.window_id)
        if profile is None or profile.state is not ProfileState.OPEN:
            return
        self._profiles[profile.id] = dataclasses.replace(
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
        return self._profiles.get(self._newest)

    def get(self, profile_id: str) -> Profile | None:
        """The profile of that id."""
        return self._profiles.get(profile_id)

    def with_id(self, window_id: str) -> Profile | None:
        """The window that was opened with this id."""
        return next((each for each in self._profiles.values() if window_id and each.window_id == window_id), None)

    def list(self) -> List[Profile]:
        """Newest first."""
        return sorted(self._profiles.values(), key=_age, reverse=True)

    def trace_path(self, profile_id: str) -> Path:
        """The merged trace; an empty id is the newest complete one. Raises `ProfileNotFound`."""
        if not profile_id:
            for candidate in self.list():
                if candidate.state is ProfileState.COMPLETE:
                    return self._store.trace_file(candidate.id)
            raise ProfileNotFound("No profile is complete yet; open a window by the enable-profiling option first.")
        profile = self._profiles.get(profile_id)
        if profile is None:
            raise ProfileNotFound("No profile of this id is kept here; the list of profiles shows which are.")
        if profile.state is not ProfileState.COMPLETE:
            raise ProfileNotFound(
                f"Profile {profile.id} has no trace: it is {profile.state}. {profile.message}".strip()
            )
        return self._store.trace_file(profile.id)

    async def settle(self) -> None:
        """Return when no window is being closed and nothing is being merged any more."""
        while self._closing or self._merges or self._turn.locked():
            if self._merges:
                await asyncio.wait(self._merges, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.01)

    def _refuse_beside_another(self) -> None:
        for other in self._open_ones():
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
        await self._save(profile)
        try:
            self._engine.open_window(window)
        except RuntimeServerError:
            await asyncio.to_thread(self._store.delete, profile.id)
            raise
        self._waiting = None
        self._closing.update(each.id for each in self._open_ones())  # the engine closes it for this one
        self._profiles[profile.id] = profile
        self._newest = profile.id
        chooser = Chooser(window.selection)
        self.timeline.begin(
            self._store.raw_folder(profile.id), lambda request: chooser.chooses(request.request_id, request.client)
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
        return next((profile for profile in self._open_ones() if profile.window_id), None)

    def _begin_waiting(self) -> None:
        if self._waiting is not None and not self._stopping:
            task = asyncio.get_running_loop().create_task(self._open_waiting(), name="waiting window")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_waiting(self) -> None:
        """The window that waited; again and again while the engine is gone or the volume is full."""
        async with self._turn:
            wanted = self._waiting
            if wanted is None or self._open_ones():
                return
            try:
                await self._open(wanted)
            except RuntimeServerError as error:
                _log.warning("a waiting window cannot be opened yet", label=wanted.label, reason=error.message)
                asyncio.get_running_loop().call_later(_WAITING_RETRY, self._begin_waiting)

    def _need_room(self) -> None:
        """The volume's size limit cannot be seen from inside, and a pod that goes over it is evicted."""
        raw = sum(profile.captured_bytes for profile in self._profiles.values() if profile.state not in _ENDED)
        if raw > self._limits.most_bytes:
            raise NotServing(f"earlier windows with {raw} bytes are still being merged; try again", _ROOM_SECONDS)

    def _open_ones(self) -> List[Profile]:
        return [profile for profile in self._profiles.values() if profile.state is ProfileState.OPEN]

    def _new_id(self, label: str) -> str:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        while True:
            self._count += 1
            profile_id = f"{label}-{moment}-{self._count}"
            if profile_id not in self._profiles:
                return profile_id

    def _overdue(self, profile_id: str) -> None:
        if self._profiles[profile_id].state is ProfileState.OPEN:
            self._engine.close_window("max_seconds")

    def _engine_changed(self, alive: bool) -> None:
        if not alive:
            for profile in self._open_ones():
                self._closed(profile.id, "engine_restart")

    def _closed(self, profile_id: str, reason: str) -> None:
        self._timers.pop(profile_id).cancel()
        self._closing.discard(profile_id)
        self.timeline.end(self._store.raw_folder(profile_id))
        profile = self._profiles[profile_id]
        self._profiles[profile_id] = dataclasses.replace(
            profile, state=ProfileState.MERGING, close_reason=reason, closed_unix_ms=now_ms()
        )
        _log.info("profiling window closed", profile=profile_id, reason=reason, runs=profile.runs)
        self._merge_later(profile_id)
        self._begin_waiting()

    def _merge_later(self, profile_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._merge(profile_id), name=f"merge {profile_id}")
        self._merges.add(task)
        task.add_done_callback(self._merges.discard)

    async def _merge(self, profile_id: str) -> None:
        async with self._one_merge:
            await self._save(self._profiles[profile_id])
            profile = self._finish(await self._ended(self._profiles[profile_id]))
            self._profiles[profile_id] = profile
            # The record first: a trace without one would be merged again from raw runs that are gone.
            await self._save(profile)
            await asyncio.to_thread(self._store.delete_raw, profile_id)
            _log.info("profile ended", profile=profile_id, state=profile.state.value, message=profile.message)
            await self._retire()

    async def _ended(self, profile: Profile) -> Profile:
        raw, trace = self._store.raw_folder(profile.id), self._store.trace_file(profile.id)
        if not raw.is_dir() or (profile.message and not profile.runs):  # the engine has said why there is nothing
            return failed(profile, "")
        try:
            return merged(profile, await merge_trace(raw, trace, self._process_name))
        except (MergeFailed, OSError) as error:
            return failed(profile, str(error))

    async def _save(self, profile: Profile) -> None:
        try:
            await asyncio.to_thread(self._store.save, profile)
        except OSError as error:
            _log.warning("profile's record cannot be written", profile=profile.id, error=str(error))

    async def _retire(self) -> None:
        """Delete the oldest ended profiles beyond the limits; the newest ended one always stays."""
        ended = sorted((p for p in self._profiles.values() if p.state in _ENDED), key=_age)
        size = sum(profile.trace_bytes for profile in ended)
        while len(ended) > 1 and (len(ended) > self._limits.kept_profiles or size > self._limits.kept_bytes):
            oldest = ended.pop(0)
            size -= oldest.trace_bytes
            del self._profiles[oldest.id]
            await asyncio.to_thread(self._store.delete, oldest.id)
            _log.info("old profile deleted", profile=oldest.id)


def _age(profile: Profile) -> tuple[int, int]:
    return profile.opened_unix_ms, int(profile.id.rpartition("-")[2])
