"""Profiles of this pod: windows opened on the engine, their traces merged, kept within limits, listed across restarts.

Used from the event loop only. Which runs are profiled is the engine's work (`profiling.window`); the files are
`profiling.store`'s; how a profile looks to a client is the control service's.
"""

import asyncio
import dataclasses
import socket
import time
from builtins import list as List  # noqa: N812 - a method here is called list, as in the port
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import InvalidRequest, NotServing, ProfileNotFound
from genai_runtime.front.own_windows import OwnWindows
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.profile_limits import ProfileLimits
from genai_runtime.front.trace_merging import MergedTrace, MergeFailed, merge_trace
from genai_runtime.generation import WindowProgress
from genai_runtime.profiling.record import LABEL, Profile, ProfileState
from genai_runtime.profiling.store import ProfileStore
from genai_runtime.profiling.summary import OperatorTime
from genai_runtime.profiling.timeline import Timeline

# The engine closes windows by itself; this long after the cap it is told to, should it sit idle.
_GRACE_SECONDS = 1.0
_ROOM_SECONDS = 5.0
_OWN_WINDOW_RETRY = 1.0
_KEPT_OPERATORS = 20  # kinds in a profile's record
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
        self._own_window_open = False
        self.timeline = Timeline()
        self._process_name = process_name or socket.gethostname()  # in a pod: its name
        self._limits = limits or ProfileLimits()
        self._profiles: dict[str, Profile] = {}  # oldest first
        self._newest = ""
        self._count = 0
        self._closing: set[str] = set()
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
        for timer in self._timers.values():
            timer.cancel()
        merges = list(self._merges)
        for task in merges:
            task.cancel()
        await asyncio.gather(*merges, return_exceptions=True)

    async def open(self, wanted: WantedWindow) -> None:
        """Open a window; an open one is closed first ("replaced").

        Raises `InvalidRequest` for a label or a cap beyond the server's, `EngineFailure` without an engine,
        `NotServing` while the volume is still full of windows that are being merged, or the server times its operators.
        """
        if not LABEL.fullmatch(wanted.label):
            raise InvalidRequest("options.profiling.label", "must be 1 to 40 of a-z, 0-9 and '-'")
        self._need_room()
        if self._own_window_open:
            raise NotServing("the server is timing its own operators; try again", _OWN_WINDOW_RETRY)
        window = self._limits.window(self._new_id(wanted.label), wanted)
        self._closing.update(profile.id for profile in self._open_ones())
        self._engine.open_window(window)
        profile = Profile(window.window_id, wanted.label, ProfileState.OPEN, _now_ms())
        self._profiles[profile.id] = profile
        self._newest = profile.id
        self.timeline.begin(self._store.raw_folder(profile.id))
        self._timers[profile.id] = asyncio.get_running_loop().call_later(
            window.max_seconds + _GRACE_SECONDS, self._overdue, profile.id
        )
        _log.info("profiling window opened", profile=profile.id)
        await self._save(profile)

    async def close(self, reason: str) -> None:
        """Close the open window, if there is one; what it captured is merged in the background."""
        waiting = {profile.id for profile in self._open_ones()}
        if waiting:
            self._closing.update(waiting)
            self._engine.close_window(reason)

    async def operators(self, work: Callable[[], Awaitable[None]], most_runs: int) -> tuple[OperatorTime, ...]:
        """What operators take a run while `work` runs, in a window of the server's own that becomes no profile.

        Raises `NotServing` while a window is open, `EngineFailure` when nothing could be timed, and what `work` raises.
        """
        if self._own_window_open or self._open_ones():
            raise NotServing("a profiling window is open; try again when it has closed", _ROOM_SECONDS)
        self._own_window_open = True
        try:
            return await self._own_windows.operators(work, most_runs)
        finally:
            self._own_window_open = False

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
        while self._closing or self._merges:
            if self._merges:
                await asyncio.wait(self._merges, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.01)

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
            profile, state=ProfileState.MERGING, close_reason=reason, closed_unix_ms=_now_ms()
        )
        _log.info("profiling window closed", profile=profile_id, reason=reason, runs=profile.runs)
        self._merge_later(profile_id)

    def _merge_later(self, profile_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._merge(profile_id), name=f"merge {profile_id}")
        self._merges.add(task)
        task.add_done_callback(self._merges.discard)

    async def _merge(self, profile_id: str) -> None:
        async with self._one_merge:
            await self._save(self._profiles[profile_id])
            profile = await self._ended(self._profiles[profile_id])
            self._profiles[profile_id] = profile
            # The record first: a trace without one would be merged again from raw runs that are gone.
            await self._save(profile)
            await asyncio.to_thread(self._store.delete_raw, profile_id)
            _log.info("profile ended", profile=profile_id, state=profile.state.value, message=profile.message)
            await self._retire()

    async def _ended(self, profile: Profile) -> Profile:
        raw, trace = self._store.raw_folder(profile.id), self._store.trace_file(profile.id)
        if not raw.is_dir() or (profile.message and not profile.runs):  # the engine has said why there is nothing
            return _failed(profile, "")
        try:
            return _merged(profile, await merge_trace(raw, trace, self._process_name))
        except (MergeFailed, OSError) as error:
            return _failed(profile, str(error))

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


def _merged(profile: Profile, merged: MergedTrace) -> Profile:
    return dataclasses.replace(
        profile,
        state=ProfileState.COMPLETE,
        runs=merged.runs,
        requests=merged.requests,
        dropped_runs=merged.dropped_runs,
        captured_bytes=merged.captured_bytes,
        events=merged.events,
        trace_bytes=merged.trace_bytes,
        top_operators=merged.top_operators,
        operators=merged.operators[:_KEPT_OPERATORS],
        message=" ".join(text for text in (profile.message, merged.message) if text),
        closed_unix_ms=profile.closed_unix_ms or _now_ms(),
    )


def _failed(profile: Profile, why: str) -> Profile:
    message = " ".join(text for text in (profile.message, why) if text)
    return dataclasses.replace(
        profile,
        state=ProfileState.FAILED,
        message=message or "The window left no runs; open a new one while requests are served.",
        closed_unix_ms=profile.closed_unix_ms or _now_ms(),
    )


def _age(profile: Profile) -> tuple[int, int]:
    return profile.opened_unix_ms, int(profile.id.rpartition("-")[2])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
