"""The folder that holds profiles: which file is what, atomic records, what an earlier process left, deletion.

    ID.raw/             raw runs of an open or not yet merged window
    ID.trace.json.gz    the merged trace
    ID.profile.json     what is known of it; written last, so that a listed complete profile always has its trace

Every path is made from an id that matches `PROFILE_ID`; no other text ever becomes a path. Blocking file I/O only; no
asyncio, no merging.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from genai_runtime.profiling.manifest import read_manifest
from genai_runtime.profiling.record import PROFILE_ID, Profile, ProfileState, from_json, to_json

RAW_SUFFIX = ".raw"
TRACE_SUFFIX = ".trace.json.gz"
RECORD_SUFFIX = ".profile.json"


class ProfileStore:
    """Files of the profiles in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def raw_folder(self, profile_id: str) -> Path:
        """Where the window's raw runs lie."""
        return self._path(profile_id, RAW_SUFFIX)

    def trace_file(self, profile_id: str) -> Path:
        """Where the merged trace lies once it is complete."""
        return self._path(profile_id, TRACE_SUFFIX)

    def save(self, profile: Profile) -> None:
        """Write the record atomically. Raises OSError."""
        path = self._path(profile.id, RECORD_SUFFIX)
        draft = path.with_name(path.name + ".tmp")
        draft.write_text(to_json(profile), encoding="utf-8")
        draft.replace(path)

    def load(self) -> list[Profile]:
        """Return what earlier processes left, oldest first; unreadable records are made anew from what lies there.

        Profiles without an end are returned as MERGING if raw runs are there, else as FAILED.
        """
        if not self.folder.is_dir():
            return []
        ids = {match for path in self.folder.iterdir() if (match := _id_of(path.name))}
        return sorted((self._restore(profile_id) for profile_id in ids), key=lambda p: (p.opened_unix_ms, p.id))

    def delete(self, profile_id: str) -> None:
        """Remove everything of a profile; what is not there is not missed."""
        for path in self._files(profile_id):
            path.unlink(missing_ok=True)
        self.delete_raw(profile_id)

    def delete_raw(self, profile_id: str) -> None:
        """Remove the window's raw runs."""
        shutil.rmtree(self.raw_folder(profile_id), ignore_errors=True)

    def _restore(self, profile_id: str) -> Profile:
        record = self._path(profile_id, RECORD_SUFFIX)
        try:
            profile = from_json(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            profile = _from_id(profile_id)
        if profile.state is ProfileState.COMPLETE and self.trace_file(profile_id).is_file():
            return profile
        if profile.state is ProfileState.FAILED:
            return profile
        return _unfinished(profile, self.raw_folder(profile_id))

    def _files(self, profile_id: str) -> Iterator[Path]:
        for suffix in (TRACE_SUFFIX, RECORD_SUFFIX):
            yield self._path(profile_id, suffix)
            yield self._path(profile_id, suffix + ".tmp")

    def _path(self, profile_id: str, suffix: str) -> Path:
        if not PROFILE_ID.fullmatch(profile_id):
            raise ValueError(f"not a profile's id: {profile_id!r}")
        return self.folder / f"{profile_id}{suffix}"


def free_bytes(folder: Path) -> int:
    """Bytes an unprivileged process may still write in the folder's file system. Raises OSError."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _id_of(name: str) -> str | None:
    for suffix in (RAW_SUFFIX, TRACE_SUFFIX, RECORD_SUFFIX):
        profile_id = name.removesuffix(suffix)
        if profile_id != name and PROFILE_ID.fullmatch(profile_id):
            return profile_id
    return None


def _from_id(profile_id: str) -> Profile:
    match = PROFILE_ID.fullmatch(profile_id)
    if match is None:
        raise ValueError(f"not a profile's id: {profile_id!r}")
    try:
        opened = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        opened = datetime.fromtimestamp(0, UTC)
    return Profile(profile_id, match[1], ProfileState.MERGING, int(opened.timestamp() * 1000))


def _unfinished(profile: Profile, raw: Path) -> Profile:
    reason = profile.close_reason
    if raw.is_dir():
        with contextlib.suppress(OSError):
            reason = reason or read_manifest(raw).close_reason
        return dataclasses.replace(profile, state=ProfileState.MERGING, close_reason=reason or "engine_restart")
    message = "The server stopped before the trace was written, and the captured runs are gone; open a new window."
    return dataclasses.replace(
        profile, state=ProfileState.FAILED, close_reason=reason or "engine_restart", message=message
    )
