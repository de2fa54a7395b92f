"""The calls of genai.v1.ControlService about windows and profiles. Who may call is `control.py`'s, as are the options.

Translation only; what a window is, and who has to wait for whom, is `profiles.py`'s.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from genai_protocol.v1 import control_pb2 as pb
from genai_runtime.errors import ProfileNotFound, RuntimeServerError
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.ports import Profiles, WantedWindow
from genai_runtime.front.state import ServingState, StateHolder
from genai_runtime.profiling.record import Profile, ProfileState
from genai_runtime.profiling.selection import Selection

_DEFAULT_LABEL = "profile"
_CHUNK_BYTES = 64 * 1024
_STATES = {
    ProfileState.OPEN: pb.PROFILE_STATE_OPEN,
    ProfileState.MERGING: pb.PROFILE_STATE_MERGING,
    ProfileState.COMPLETE: pb.PROFILE_STATE_COMPLETE,
    ProfileState.FAILED: pb.PROFILE_STATE_FAILED,
}


class WindowCalls:
    """See the protocol for each call."""

    def __init__(self, profiles: Profiles, state: StateHolder) -> None:
        self._profiles = profiles
        self._state = state

    async def open(self, request: pb.OpenWindowRequest, context: Context) -> pb.Profile:
        """UNAVAILABLE while the model is loaded: a caller asks again, and a second call for one window is harmless."""
        try:
            refusal = self._state.refusal()
            if refusal is not None and self._state.state is ServingState.LOADING:
                raise refusal
            return describe_profile(await self._profiles.open_with_id(request.window_id, _wanted(request.spec)))
        except RuntimeServerError as error:
            await status.abort(context, error)

    async def close(self, request: pb.CloseWindowRequest, context: Context) -> pb.Profile:
        """The answer may still say OPEN: the engine ends the run in progress first."""
        try:
            return describe_profile(await self._profiles.close_with_id(request.window_id))
        except RuntimeServerError as error:
            await status.abort(context, error)

    async def get(self, request: pb.GetWindowRequest, context: Context) -> pb.Profile:
        """What became of a window."""
        profile = self._profiles.with_id(request.window_id)
        if profile is None:
            await status.abort(context, ProfileNotFound("No window of this id is known here."))
        return describe_profile(profile)

    def list(self) -> pb.ListProfilesResponse:
        """Newest first."""
        return pb.ListProfilesResponse(profiles=[describe_profile(profile) for profile in self._profiles.list()])

    async def fetch(self, request: pb.FetchProfileRequest, context: Context) -> AsyncIterator[pb.FetchProfileResponse]:
        """The file's bytes; read in a thread, for the disk may be slow."""
        try:
            path: Path = self._profiles.trace_path(request.id)
        except RuntimeServerError as error:
            await status.abort(context, error)
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield pb.FetchProfileResponse(data=chunk)


def describe_profile(profile: Profile) -> pb.Profile:
    """The protocol's view of a profile."""
    return pb.Profile(
        id=profile.id,
        label=profile.label,
        state=_STATES[profile.state],
        opened_unix_ms=profile.opened_unix_ms,
        closed_unix_ms=profile.closed_unix_ms,
        close_reason=profile.close_reason,
        runs=profile.runs,
        requests=profile.requests,
        captured_bytes=profile.captured_bytes,
        dropped_runs=profile.dropped_runs,
        trace_bytes=profile.trace_bytes,
        events=profile.events,
        top_operators=[pb.OperatorShare(**asdict(share)) for share in profile.top_operators],
        message=profile.message,
        window_id=profile.window_id,
        skipped_runs=profile.skipped_runs,
        overhead_percent=profile.overhead_percent,
        trigger=profile.trigger,
        grown=[pb.OperatorGrowth(**asdict(each)) for each in profile.grown],
    )


def _wanted(spec: pb.WindowSpec) -> WantedWindow:
    selection = Selection(spec.runs, spec.sample_rate, tuple(spec.request_ids), tuple(spec.clients))
    return WantedWindow(
        spec.label or _DEFAULT_LABEL, spec.max_runs, spec.max_bytes, spec.max_seconds, selection=selection
    )
