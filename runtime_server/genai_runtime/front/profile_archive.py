"""The profiles of one folder: known across restarts, their windows' runs merged, the oldest deleted to make room.

Used from the event loop only. Windows are opened and closed by `profiles.py`; the files are `profiling.store`'s.
"""

import asyncio
from builtins import list as List  # noqa: N812 - a method here is called list, as in the port
from collections.abc import Callable
from pathlib import Path

import structlog

from genai_runtime.errors import ProfileNotFound
from genai_runtime.front.profile_ends import failed, merged
from genai_runtime.front.profile_limits import ProfileLimits
from genai_runtime.front.trace_merging import MergeFailed, merge_trace
from genai_runtime.profiling.record import Profile, ProfileState
from genai_runtime.profiling.store import ProfileStore

_ENDED = (ProfileState.COMPLETE, ProfileState.FAILED)
_log = structlog.get_logger("genai_runtime.profiles")


class ProfileArchive:
    """Call `start` once before anything else and `stop` last. `finish` may add to what is known of an ended profile."""

    def __init__(self, folder: Path, process_name: str, limits: ProfileLimits) -> None:
        """Traces name their process so."""
        self.profiles: dict[str, Profile] = {}  # oldest first
        self.finish: Callable[[Profile], Profile] = lambda profile: profile
        self.merges: set[asyncio.Task[None]] = set()
        self._store = ProfileStore(folder)
        self._process_name = process_name
        self._limits = limits
        self._one_merge = asyncio.Lock()

    async def start(self) -> None:
        """Read what earlier processes of this pod left and merge what they had captured. Never fails: it is logged."""
        try:
            await asyncio.to_thread(self._store.folder.mkdir, parents=True, exist_ok=True)
            found = await asyncio.to_thread(self._store.load)
        except OSError as error:
            _log.error("profiles cannot be kept", folder=str(self._store.folder), error=str(error))
            return
        for profile in found:
            self.profiles[profile.id] = profile
            if profile.state is ProfileState.MERGING:
                self.merge_later(profile.id)
            else:
                await self.save(profile)

    async def stop(self) -> None:
        """End merges in progress; their raw runs stay for the next process."""
        tasks = list(self.merges)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def with_id(self, window_id: str) -> Profile | None:
        """The window that was opened with this id."""
        return next((each for each in self.profiles.values() if window_id and each.window_id == window_id), None)

    def open_ones(self) -> List[Profile]:
        """Profiles of windows that are open."""
        return [profile for profile in self.profiles.values() if profile.state is ProfileState.OPEN]

    def list(self) -> List[Profile]:
        """Newest first."""
        return sorted(self.profiles.values(), key=_age, reverse=True)

    def raw_folder(self, profile_id: str) -> Path:
        """Where a window's raw runs lie."""
        return self._store.raw_folder(profile_id)

    def raw_bytes(self) -> int:
        """Captured by windows that are not merged yet."""
        return sum(profile.captured_bytes for profile in self.profiles.values() if profile.state not in _ENDED)

    def trace_path(self, profile_id: str) -> Path:
        """The merged trace; an empty id is the newest complete one. Raises `ProfileNotFound`."""
        if not profile_id:
            for candidate in self.list():
                if candidate.state is ProfileState.COMPLETE:
                    return self._store.trace_file(candidate.id)
            raise ProfileNotFound("No profile is complete yet; open a window by the enable-profiling option first.")
        profile = self.profiles.get(profile_id)
        if profile is None:
            raise ProfileNotFound("No profile of this id is kept here; the list of profiles shows which are.")
        if profile.state is not ProfileState.COMPLETE:
            raise ProfileNotFound(
                f"Profile {profile.id} has no trace: it is {profile.state}. {profile.message}".strip()
            )
        return self._store.trace_file(profile.id)

    async def save(self, profile: Profile) -> None:
        """Write its record. Never fails: it is logged."""
        try:
            await asyncio.to_thread(self._store.save, profile)
        except OSError as error:
            _log.warning("profile's record cannot be written", profile=profile.id, error=str(error))

    async def forget(self, profile_id: str) -> None:
        """Delete what there is of it on the disk."""
        await asyncio.to_thread(self._store.delete, profile_id)

    def merge_later(self, profile_id: str) -> None:
        """Merge a closed window's runs, after those that were closed before."""
        task = asyncio.get_running_loop().create_task(self._merge(profile_id), name=f"merge {profile_id}")
        self.merges.add(task)
        task.add_done_callback(self.merges.discard)

    async def _merge(self, profile_id: str) -> None:
        async with self._one_merge:
            await self.save(self.profiles[profile_id])
            profile = self.finish(await self._ended(self.profiles[profile_id]))
            self.profiles[profile_id] = profile
            # The record first: a trace without one would be merged again from raw runs that are gone.
            await self.save(profile)
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

    async def _retire(self) -> None:
        """Delete the oldest ended profiles beyond the limits; the newest ended one always stays."""
        ended = sorted((p for p in self.profiles.values() if p.state in _ENDED), key=_age)
        size = sum(profile.trace_bytes for profile in ended)
        while len(ended) > 1 and (len(ended) > self._limits.kept_profiles or size > self._limits.kept_bytes):
            oldest = ended.pop(0)
            size -= oldest.trace_bytes
            del self.profiles[oldest.id]
            await self.forget(oldest.id)
            _log.info("old profile deleted", profile=oldest.id)


def _age(profile: Profile) -> tuple[int, int]:
    return profile.opened_unix_ms, int(profile.id.rpartition("-")[2])
