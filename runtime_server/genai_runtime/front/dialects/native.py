"""genai.v1.GenAIService: translation between its messages and the server's own plain data, nothing else."""

import asyncio
from contextlib import aclosing

import grpc
import structlog

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as pb_grpc
from genai_runtime.errors import RuntimeServerError
from genai_runtime.front.chat import Message
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.generating import Ending, GenerationService, TextChunk
from genai_runtime.front.validation import Call, Options
from genai_runtime.generation import FinishReason

_FINISHES = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.TERMINATED: pb.FINISH_REASON_TERMINATED,
    FinishReason.DEADLINE: pb.FINISH_REASON_DEADLINE,
    FinishReason.SHUTDOWN: pb.FINISH_REASON_SHUTDOWN,
    FinishReason.ERROR: pb.FINISH_REASON_ERROR,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}
_log = structlog.get_logger("genai_runtime.native")


class NativeService(pb_grpc.GenAIServiceServicer):
    """The servicer. A client that takes no message for `write_seconds` is cut off, for it keeps an engine slot."""

    def __init__(self, service: GenerationService, card: ModelCard, write_seconds: float) -> None:
        self._service = service
        self._card = card
        self._write_seconds = write_seconds

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> None:
        """See the protocol."""
        kind = request.WhichOneof("input")
        call = Call(
            request_id=request.request_id,
            model=request.model,
            text=request.prompt if kind == "prompt" else None,
            ids=list(request.token_ids.ids) if kind == "token_ids" else None,
            options=_options(request.options),
            deadline=_deadline(context),
        )
        await self._serve("generate", call, context)

    async def Chat(self, request: pb.ChatRequest, context: Context) -> None:
        """See the protocol."""
        call = Call(
            request_id=request.request_id,
            model=request.model,
            messages=[Message(message.role, message.content) for message in request.messages],
            options=_options(request.options),
            deadline=_deadline(context),
        )
        await self._serve("chat", call, context)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """See the protocol."""
        try:
            return self._card.describe(request.model)
        except RuntimeServerError as error:
            await status.abort(context, error)

    async def _serve(self, method: str, call: Call, context: Context) -> None:
        ending: Ending | None = None
        try:
            async with aclosing(self._service.stream(method, call)) as events:
                async for event in events:
                    await self._write(context, _message(event))
                    ending = event if isinstance(event, Ending) else None
        except RuntimeServerError as error:
            await status.abort(context, error)
        except _ClientGone:
            return
        except TimeoutError:
            message = f"the client took no message for {self._write_seconds:g} s"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        except Exception:
            _log.exception("request failed", method=method)
            await context.abort(grpc.StatusCode.INTERNAL, "the server failed on this request; its log says more")
        if ending is not None:
            code = status.code_of_finish(ending.reason, engine_lost=ending.engine_lost)
            await status.finish(context, code, ending.message)

    async def _write(self, context: Context, message: pb.GenerateResponse) -> None:
        """Raises `TimeoutError` for a slow reader, `_ClientGone` for one that is no longer there."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await context.write(message)
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise _ClientGone from error


class _ClientGone(Exception):
    """The stream cannot be written any more: cancelled, disconnected, or past its deadline."""


def _message(event: TextChunk | Ending) -> pb.GenerateResponse:
    if isinstance(event, TextChunk):
        return pb.GenerateResponse(
            request_id=event.request_id, chunk=pb.TokenChunk(text=event.text, token_ids=event.ids)
        )
    record = event.record
    return pb.GenerateResponse(
        request_id=record.request_id,
        finish=pb.Finish(
            reason=_FINISHES[event.reason],
            usage=pb.Usage(prompt_tokens=record.prompt_tokens, completion_tokens=record.completion_tokens),
            timings=pb.Timings(
                queue_seconds=record.queue_seconds,
                time_to_first_token_seconds=record.first_token_seconds,
                total_seconds=record.total_seconds,
                tokens_per_second=record.tokens_per_second,
            ),
            message=event.message,
        ),
    )


def _options(options: pb.GenerationOptions) -> Options:
    """Absent fields stay None."""
    return Options(**{field.name: value for field, value in options.ListFields()})


def _deadline(context: Context) -> float | None:
    """The client's deadline on the event loop's clock."""
    remaining = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining
