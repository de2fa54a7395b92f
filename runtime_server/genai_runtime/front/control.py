"""genai.v1.ControlService: what the operator (mutual TLS) and `genai-runtime ctl` (Unix socket) call.

Translation and authorisation only; what options do is `runtime_options.py`, what profiles are is `profiles.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import structlog

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_protocol.v1 import inference_pb2
from genai_runtime.errors import RuntimeServerError
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.model_card import STATES, ModelCard
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.measuring import Measurement, Measuring
from genai_runtime.front.ports import Profiles, WantedWindow
from genai_runtime.front.runtime_options import Options, RuntimeOptions
from genai_runtime.front.state import StateHolder
from genai_runtime.profiling.record import Profile, ProfileState

_CHUNK_BYTES = 64 * 1024
_PROFILE_STATES = {
    ProfileState.OPEN: pb.PROFILE_STATE_OPEN,
    ProfileState.MERGING: pb.PROFILE_STATE_MERGING,
    ProfileState.COMPLETE: pb.PROFILE_STATE_COMPLETE,
    ProfileState.FAILED: pb.PROFILE_STATE_FAILED,
}
_log = structlog.get_logger("genai_runtime.control")


class ControlService(pb_grpc.ControlServiceServicer):
    """The servicer. `client_name`: the only common name that may call; None where the socket's mode decides that."""

    def __init__(
        self,
        options: RuntimeOptions,
        profiles: Profiles,
        card: ModelCard,
        state: StateHolder,
        measuring: Measuring,
        client_name: str | None,
    ) -> None:
        self._options = options
        self._profiles = profiles
        self._card = card
        self._state = state
        self._measuring = measuring
        self._client_name = client_name

    async def GetRuntimeOptions(self, request: pb.GetRuntimeOptionsRequest, context: Context) -> pb.RuntimeOptionsState:
        """See the protocol."""
        await self._authorise(context)
        return self._describe()

    async def SetRuntimeOptions(self, request: pb.SetRuntimeOptionsRequest, context: Context) -> pb.RuntimeOptionsState:
        """See the protocol."""
        await self._authorise(context)
        try:
            await self._options.set(request.revision, _wanted(request.options))
        except RuntimeServerError as error:
            await status.abort(context, error)
        return self._describe()

    async def GetModel(
        self, request: inference_pb2.GetModelRequest, context: Context
    ) -> inference_pb2.GetModelResponse:
        """See the protocol."""
        await self._authorise(context)
        try:
            return self._card.describe(request.model)
        except RuntimeServerError as error:
            await status.abort(context, error)

    async def ListProfiles(self, request: pb.ListProfilesRequest, context: Context) -> pb.ListProfilesResponse:
        """See the protocol."""
        await self._authorise(context)
        return pb.ListProfilesResponse(profiles=[describe_profile(profile) for profile in self._profiles.list()])

    async def FetchProfile(
        self, request: pb.FetchProfileRequest, context: Context
    ) -> AsyncIterator[pb.FetchProfileResponse]:
        """See the protocol."""
        await self._authorise(context)
        try:
            path = self._profiles.trace_path(request.id)
        except RuntimeServerError as error:
            await status.abort(context, error)
        async for chunk in _chunks(path):
            yield pb.FetchProfileResponse(data=chunk)

    async def Measure(self, request: pb.MeasureRequest, context: Context) -> pb.MeasureResponse:
        """See the protocol."""
        await self._authorise(context)
        try:
            found = await self._measuring.measure(request.prompts, request.max_tokens, request.repeats or 1)
        except RuntimeServerError as error:
            await status.abort(context, error)
        return _measured(found)

    def _describe(self) -> pb.RuntimeOptionsState:
        applied = self._options.applied
        newest = self._profiles.newest()
        return pb.RuntimeOptionsState(
            revision=self._options.revision,
            options=pb.RuntimeOptions(
                terminate_session=applied.terminate_session,
                profiling=_profiling_option(applied.profiling) if applied.profiling else None,
            ),
            serving_state=STATES[self._state.state],
            window=describe_profile(newest) if newest else None,
            unsupported=self._options.unsupported,
        )

    async def _authorise(self, context: Context) -> None:
        """TLS has proved the certificate; here its name is checked."""
        if self._client_name is None:
            return
        names = [name.decode(errors="replace") for name in context.auth_context().get("x509_common_name", ())]
        if self._client_name not in names:
            _log.warning("control refused", client=names)
            message = f"control is for client certificate {self._client_name!r} only"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)


def describe_profile(profile: Profile) -> pb.Profile:
    """The protocol's view of a profile."""
    return pb.Profile(
        id=profile.id,
        label=profile.label,
        state=_PROFILE_STATES[profile.state],
        opened_unix_ms=profile.opened_unix_ms,
        closed_unix_ms=profile.closed_unix_ms,
        close_reason=profile.close_reason,
        runs=profile.runs,
        requests=profile.requests,
        captured_bytes=profile.captured_bytes,
        dropped_runs=profile.dropped_runs,
        trace_bytes=profile.trace_bytes,
        events=profile.events,
        top_operators=[
            pb.OperatorShare(op_type=share.op_type, provider=share.provider, calls=share.calls, share=share.share)
            for share in profile.top_operators
        ],
        message=profile.message,
    )


def _measured(found: Measurement) -> pb.MeasureResponse:
    return pb.MeasureResponse(
        tokens_per_second=found.tokens_per_second,
        time_to_first_token_seconds=found.first_token_seconds,
        operators=[
            pb.OperatorTime(
                op_type=each.op_type, provider=each.provider, microseconds_per_run=each.microseconds_per_run
            )
            for each in found.operators
        ],
    )


def _wanted(options: pb.RuntimeOptions) -> Options:
    if not options.HasField("profiling"):
        return Options(options.terminate_session)
    asked = options.profiling
    return Options(
        options.terminate_session, WantedWindow(asked.label, asked.max_runs, asked.max_bytes, asked.max_seconds)
    )


def _profiling_option(window: WantedWindow) -> pb.ProfilingOption:
    return pb.ProfilingOption(
        label=window.label, max_runs=window.max_runs, max_bytes=window.max_bytes, max_seconds=window.max_seconds
    )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    """The file's bytes; read in a thread, for the disk may be slow."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
