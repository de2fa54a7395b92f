"""How far a pod is with fetching its model, asked over its control service. Channels are `runtime.py`'s.

When to ask is decided by `services.fetches`; what it means for the model, by `status.model_state`.
"""

from dataclasses import dataclass

from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_protocol.v1 import control_pb2

_STATES = {
    control_pb2.FETCH_STATE_FETCHING: "Fetching",
    control_pb2.FETCH_STATE_VERIFYING: "Verifying",
    control_pb2.FETCH_STATE_COMPLETE: "Complete",
    control_pb2.FETCH_STATE_FAILED: "Failed",
}


@dataclass(frozen=True, slots=True)
class FetchReply:
    """A fetch as its pod tells it: `state` is Resolving, Fetching, Verifying, Complete or Failed. 0: not known."""

    state: str
    fetched_bytes: int
    total_bytes: int
    remaining_seconds: float


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
            fetched_bytes=answer.fetched_bytes,
            total_bytes=answer.total_bytes,
            remaining_seconds=answer.remaining_seconds,
        )

    async def forget(self, pod: PodEndpoint) -> None:
        """Closes the channel to a pod that is gone."""
        await self._runtime.forget(pod)
