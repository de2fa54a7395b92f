"""How far a pod is with fetching or building a model, asked over its control service. Channels are `runtime.py`'s.

When to ask is decided by `services.fetches`; what it means for the model, by `status.model_state`.
"""

from dataclasses import dataclass
from math import isfinite

from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_protocol.v1 import control_pb2

_STATES = {
    control_pb2.FETCH_STATE_FETCHING: "Fetching",
    control_pb2.FETCH_STATE_VERIFYING: "Verifying",
    control_pb2.FETCH_STATE_COMPLETE: "Complete",
    control_pb2.FETCH_STATE_FAILED: "Failed",
    control_pb2.FETCH_STATE_BUILDING: "Building",
    control_pb2.FETCH_STATE_MEASURING: "Measuring",
}


# The API server's numbers end there; the image may be anybody's.
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class FetchReply:
    """A fetch or a build as its pod tells it. 0: not known. `percent` counts where bytes mean nothing.

    `state` is Resolving, Fetching, Verifying, Building, Measuring, Complete or Failed.
    """

    state: str
    fetched_bytes: int
    total_bytes: int
    remaining_seconds: float
    percent: int = 0


class FetchClient:
    """Calls about fetching. They raise PodRejected for a final refusal and PodUnreachable without an answer in time."""

    def __init__(self, runtime: RuntimeClient) -> None:
        self._runtime = runtime

    async def progress(self, pod: PodEndpoint, *, deadline_seconds: float) -> FetchReply:
        """How far it is now."""
        request = control_pb2.GetFetchProgressRequest()
        answer = await self._runtime.call(pod, "GetFetchProgress", request, deadline_seconds)
        return FetchReply(
            state=_STATES.get(answer.state, "Resolving"),
            fetched_bytes=min(answer.fetched_bytes, _MOST),
            total_bytes=min(answer.total_bytes, _MOST),
            remaining_seconds=min(answer.remaining_seconds, _MOST) if isfinite(answer.remaining_seconds) else 0.0,
            percent=min(answer.percent, 100),
        )

    async def forget(self, pod: PodEndpoint) -> None:
        """Closes the channel to a pod that is gone."""
        await self._runtime.forget(pod)
