"""genai.v1's messages from and to the server's own plain data. Pure; the calls are `native.py`."""

from collections.abc import Sequence

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.chat import Message
from genai_runtime.front.generating import Ending, RequestInfo, TextChunk
from genai_runtime.front.validation import Options
from genai_runtime.generation import FinishReason, Guidance, TokenLogprob

_FINISHES = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.TERMINATED: pb.FINISH_REASON_TERMINATED,
    FinishReason.DEADLINE: pb.FINISH_REASON_DEADLINE,
    FinishReason.SHUTDOWN: pb.FINISH_REASON_SHUTDOWN,
    FinishReason.ERROR: pb.FINISH_REASON_ERROR,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}
_STAGES = {
    "queued": pb.REQUEST_STAGE_QUEUED,
    "prefill": pb.REQUEST_STAGE_PREFILL,
    "decode": pb.REQUEST_STAGE_DECODE,
}
# Fields that mean the same in both; absent ones are left to the model's defaults.
_SCALARS = (
    *("max_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "seed", "min_p", "presence_penalty"),
    *("frequency_penalty", "min_tokens", "ignore_eos", "n", "logprobs", "adapter", "priority"),
)


def options_of(message: pb.GenerationOptions) -> Options:
    """Raises `InvalidRequest` for guidance that names no kind."""
    given = {field.name: value for field, value in message.ListFields()}
    fields = {name: given[name] for name in _SCALARS if name in given}
    if "logit_bias" in given:
        fields["logit_bias"] = dict(message.logit_bias)
    for name in ("stop", "stop_token_ids"):
        if name in given:
            fields[name] = list(given[name])
    if "guidance" in given:
        fields["guidance"] = _guidance(message.guidance)
    return Options(**fields)


def _guidance(message: pb.Guidance) -> Guidance | None:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("options.guidance", "is empty; set json_schema, regex, lark or json_object")
    if kind == "json_object":
        return Guidance(kind) if message.json_object else None
    return Guidance(kind, getattr(message, kind))


def messages_of(messages: Sequence[pb.ChatMessage]) -> list[Message]:
    """A conversation's turns."""
    return [Message(message.role, message.content) for message in messages]


class ChunkMessage:
    """One message that carries all chunks of a stream, each before the next: made once, for there are many."""

    def __init__(self, request_id: str) -> None:
        self._message = pb.GenerateResponse(request_id=request_id)
        self._chunk = self._message.chunk
        self._chunk.SetInParent()

    def of(self, chunk: TextChunk) -> pb.GenerateResponse:
        """Valid until the next call."""
        message = self._chunk
        message.Clear()
        message.text = chunk.text
        message.token_ids.extend(chunk.ids)
        if chunk.index:
            message.index = chunk.index
        if chunk.logprobs:
            message.logprobs.extend(map(_logprob, chunk.logprobs))
        return self._message


def _logprob(found: TokenLogprob) -> pb.TokenLogprob:
    top = [pb.TokenLogprob.Alternative(token_id=id_, logprob=logprob) for id_, logprob in found.top]
    return pb.TokenLogprob(token_id=found.id, logprob=found.logprob, top=top)


def finish_message(event: Ending) -> pb.GenerateResponse:
    """The end of one choice."""
    record = event.record
    finish = pb.Finish(
        reason=_FINISHES[event.reason],
        usage=pb.Usage(
            prompt_tokens=record.prompt_tokens,
            completion_tokens=record.completion_tokens,
            cached_prompt_tokens=record.cached_tokens,
        ),
        timings=pb.Timings(
            queue_seconds=record.queue_seconds,
            time_to_first_token_seconds=record.first_token_seconds,
            total_seconds=record.total_seconds,
            tokens_per_second=record.tokens_per_second,
        ),
        message=event.message,
        index=event.index,
    )
    if isinstance(event.stop, str):
        finish.stop = event.stop
    elif event.stop is not None:
        finish.stop_token_id = event.stop
    return pb.GenerateResponse(request_id=record.request_id, finish=finish)


def request_info(found: RequestInfo) -> pb.RequestInfo:
    """One line of ListRequests."""
    return pb.RequestInfo(
        request_id=found.request_id,
        stage=_STAGES[found.stage],
        method=found.method,
        client=found.client,
        age_seconds=found.age_seconds,
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        choices=found.choices,
    )
