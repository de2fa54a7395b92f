"""Profiling windows of one model pod, over its control service: open, close, ask. Channels are `runtime.py`'s.

What to do with which pod is decided by `status.profile_plan`; when, by `services.windows`.
"""

from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaiprofile import WINDOW_PREFIX, GenAIProfile
from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_operator.errors import PodRejected
from genai_protocol.v1 import control_pb2

_STATES = {
    control_pb2.PROFILE_STATE_OPEN: "Open",
    control_pb2.PROFILE_STATE_MERGING: "Merging",
    control_pb2.PROFILE_STATE_COMPLETE: "Complete",
    control_pb2.PROFILE_STATE_FAILED: "Failed",
}


@dataclass(frozen=True, slots=True)
class OperatorReply:
    """One kind of operator in a finished window; `share` (0 to 1) is of all operators' time, `microseconds` its own."""

    op_type: str
    provider: str
    calls: int
    share: float
    microseconds: int = 0


@dataclass(frozen=True, slots=True)
class WindowReply:
    """A window as its pod tells it. `state` is Open, Merging, Complete or Failed; sizes are bytes."""

    state: str
    profile_id: str
    close_reason: str
    runs: int
    skipped_runs: int
    requests: int
    captured_bytes: int
    trace_bytes: int
    dropped_runs: int
    overhead_percent: float | None
    operators: tuple[OperatorReply, ...]
    message: str


class WindowClient:
    """Calls about windows. All raise PodRejected for a final refusal and PodUnreachable without an answer in time."""

    def __init__(self, runtime: RuntimeClient) -> None:
        self._runtime = runtime

    async def open(self, pod: PodEndpoint, profile: GenAIProfile, *, deadline_seconds: float) -> WindowReply:
        """Opens the profile's window, or tells what became of it; code FAILED_PRECONDITION while another is open."""
        request = control_pb2.OpenWindowRequest(window_id=profile.window_id, spec=_window_spec(profile))
        return _reply(await self._runtime.call(pod, "OpenWindow", request, deadline_seconds))

    async def close(self, pod: PodEndpoint, window_id: str, *, deadline_seconds: float) -> WindowReply:
        """Closes it, what it captured is kept; code NOT_FOUND when the pod does not know it."""
        request = control_pb2.CloseWindowRequest(window_id=window_id)
        return _reply(await self._runtime.call(pod, "CloseWindow", request, deadline_seconds))

    async def get(self, pod: PodEndpoint, window_id: str, *, deadline_seconds: float) -> WindowReply:
        """What it is now; code NOT_FOUND when the pod does not know it."""
        request = control_pb2.GetWindowRequest(window_id=window_id)
        return _reply(await self._runtime.call(pod, "GetWindow", request, deadline_seconds))

    async def open_windows(self, pod: PodEndpoint, *, deadline_seconds: float) -> tuple[str, ...]:
        """The ids of windows that are open for a GenAIProfile; none from a pod that has no such call."""
        try:
            request = control_pb2.ListProfilesRequest()
            answer = await self._runtime.call(pod, "ListProfiles", request, deadline_seconds)
        except PodRejected:
            return ()
        return tuple(
            each.window_id
            for each in answer.profiles
            if each.state == control_pb2.PROFILE_STATE_OPEN and each.window_id.startswith(WINDOW_PREFIX)
        )


def _window_spec(profile: GenAIProfile) -> control_pb2.WindowSpec:
    spec, limits, requests = profile.spec, profile.spec.limits, profile.spec.requests
    return control_pb2.WindowSpec(
        label=profile.label,
        max_runs=(limits.max_runs if limits else None) or 0,
        max_bytes=limits.max_bytes_value() if limits else 0,
        max_seconds=(limits.max_seconds if limits else None) or 0,
        runs=spec.runs or "",
        sample_rate=(requests.sample_rate if requests else None) or 0.0,
        request_ids=requests.ids if requests else (),
        clients=requests.clients if requests else (),
    )


def _reply(profile: Any) -> WindowReply:
    return WindowReply(
        state=_STATES.get(profile.state, "Open"),
        profile_id=profile.id,
        close_reason=profile.close_reason,
        runs=profile.runs,
        skipped_runs=profile.skipped_runs,
        requests=profile.requests,
        captured_bytes=profile.captured_bytes,
        trace_bytes=profile.trace_bytes,
        dropped_runs=profile.dropped_runs,
        overhead_percent=profile.overhead_percent if profile.HasField("overhead_percent") else None,
        operators=tuple(
            OperatorReply(each.op_type, each.provider, each.calls, each.share, each.microseconds)
            for each in profile.top_operators
        ),
        message=profile.message,
    )
