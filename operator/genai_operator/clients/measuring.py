"""How fast a pod generates, asked over its control service. Channels are `runtime.py`'s, what it means `status`'s."""

from collections.abc import Sequence
from dataclasses import dataclass

from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_protocol.v1 import control_pb2


@dataclass(frozen=True, slots=True)
class MeasureReply:
    """Medians over prompts and repeats. `operators`: (op type, provider, microseconds a run), the costliest first."""

    tokens_per_second: float
    first_token_seconds: float
    operators: tuple[tuple[str, str, float], ...]


class MeasuringClient:
    """Calls about speed. They raise PodRejected for a final refusal and PodUnreachable without an answer in time."""

    def __init__(self, runtime: RuntimeClient) -> None:
        self._runtime = runtime

    async def measure(
        self, pod: PodEndpoint, prompts: Sequence[str], max_tokens: int, repeats: int, *, deadline_seconds: float
    ) -> MeasureReply:
        """The pod generates from each prompt alone, ahead of its queue."""
        request = control_pb2.MeasureRequest(prompts=prompts, max_tokens=max_tokens, repeats=repeats)
        answer = await self._runtime.call(pod, "Measure", request, deadline_seconds)
        operators = tuple((each.op_type, each.provider, each.microseconds_per_run) for each in answer.operators)
        return MeasureReply(answer.tokens_per_second, answer.time_to_first_token_seconds, operators)

    async def requests(self, pod: PodEndpoint, *, deadline_seconds: float) -> int:
        """Requests that run or wait there now."""
        request = control_pb2.GetRuntimeOptionsRequest()
        answer = await self._runtime.call(pod, "GetRuntimeOptions", request, deadline_seconds)
        return int(answer.requests)
