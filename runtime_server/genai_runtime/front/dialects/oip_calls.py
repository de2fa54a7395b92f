"""An Open Inference Protocol request on the server's own service: read, generate, answer at once or message by message.

The servicer is `oip.py`; here is what ModelInfer and ModelStreamInfer have in common, and how a stream holds many.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import grpc
import structlog

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest, ModelNotFound, Overloaded, RuntimeServerError
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.decoding import Undecodable
from genai_runtime.front.dialects.oip_answers import VERSION, Answers, stream_error
from genai_runtime.front.dialects.oip_parameters import read_parameters
from genai_runtime.front.dialects.oip_tensors import INPUT_IDS, TEXT_INPUT, read_inputs
from genai_runtime.front.dialects.serving import Caller, undecodable, worst
from genai_runtime.front.dialects.writing import ClientGone, SlowReader
from genai_runtime.front.generating import Ending, GenerationService, TextChunk
from genai_runtime.front.validation import Call, check_model

_LONGEST_ID = 256
_MOST_AT_ONCE = 256  # requests of one stream
_RETRY_SECONDS = 1.0
# The service names fields as genai.v1 does.
_FIELDS = {"prompt": f"inputs[{TEXT_INPUT!r}]", "token_ids": f"inputs[{INPUT_IDS!r}]"}
_log = structlog.get_logger("genai_runtime.oip")

Write = Callable[[oip.ModelStreamInferResponse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What a request asks for, and who makes its answers."""

    call: Call
    answers: Answers
    stream: bool | None


def check_served(name: str, version: str, served: str) -> None:
    """Raises `ModelNotFound` for another model, or another version of this one."""
    check_model(name, served)
    if version not in ("", VERSION):
        raise ModelNotFound(f"model {served!r} has no version {version[:40]!r} here; it has version {VERSION!r}")


def read_request(request: oip.ModelInferRequest, served: str, caller: Caller) -> ReadRequest:
    """Raises `InvalidRequest` and `ModelNotFound`. The model may be an adapter's name: the service knows these."""
    check_served("", request.model_version, served)
    if len(request.id) > _LONGEST_ID:
        raise InvalidRequest("id", f"has {len(request.id)} characters; {_LONGEST_ID} are allowed")
    inputs = read_inputs(request)
    parameters = read_parameters(request.parameters, inputs.sampling_parameters)
    deadline = caller.deadline
    if parameters.timeout is not None:
        until = asyncio.get_running_loop().time() + parameters.timeout
        deadline = until if deadline is None else min(until, deadline)
    call = Call(
        model=request.model_name,
        text=inputs.text,
        ids=inputs.ids,
        options=parameters.options,
        deadline=deadline,
        client=caller.client,
        trace_parent=caller.trace_parent,
        trace_state=caller.trace_state,
    )
    stream = inputs.stream if parameters.stream is None else parameters.stream
    return ReadRequest(call, Answers(request, served, parameters.options), stream)


def in_these_words(error: RuntimeServerError) -> RuntimeServerError:
    """The error with this protocol's name for its field."""
    if not isinstance(error, InvalidRequest):
        return error
    words = error.message.removeprefix(f"{error.field}: ")
    if error.field in _FIELDS:
        return InvalidRequest(_FIELDS[error.field], words)
    if error.field.startswith("options."):
        return InvalidRequest(f"parameters.{error.field.removeprefix('options.')}", words)
    return error


async def infer(service: GenerationService, found: ReadRequest) -> tuple[Answers, list[TextChunk], list[Ending]]:
    """Everything that the request's one answer is made of. Raises what `GenerationService.stream` does."""
    if found.stream:
        raise InvalidRequest("parameters.stream", "is true, and ModelInfer has one answer; use ModelStreamInfer")
    chunks: list[TextChunk] = []
    endings: list[Ending] = []
    async with aclosing(service.stream("model_infer", found.call)) as events:
        async for event in events:
            if isinstance(event, TextChunk):
                chunks.append(event)
            else:
                endings.append(event)
    return found.answers, chunks, endings


class StreamedRequests:
    """The requests of one ModelStreamInfer call, side by side; each ends on its own, all end with the call."""

    def __init__(self, service: GenerationService, read: Callable[[oip.ModelInferRequest], ReadRequest]) -> None:
        self._service = service
        self._read = read
        self._ids: set[str] = set()  # of requests that have not ended
        self._count = 0

    async def serve(self, requests: AsyncIterator[oip.ModelInferRequest | Undecodable], write: Write) -> None:
        """Until the client has closed its side and every request has ended. Raises what `write` does."""
        try:
            async with asyncio.TaskGroup() as group:
                async for request in requests:
                    if isinstance(request, Undecodable):
                        await write(stream_error("", f"INVALID_ARGUMENT: {undecodable(request).message}"))
                        continue
                    refusal = self._refusal(request)
                    if refusal is not None:
                        await write(_failed(request, refusal))
                        continue
                    self._count += 1
                    self._ids.add(request.id)
                    group.create_task(self._serve_one(request, write))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _refusal(self, request: oip.ModelInferRequest) -> RuntimeServerError | None:
        if request.id and request.id in self._ids:
            return InvalidRequest("id", "names a request of this stream that has not ended yet")
        if self._count >= _MOST_AT_ONCE:
            return Overloaded(f"{self._count} requests of this stream have not ended yet", _RETRY_SECONDS)
        return None

    async def _serve_one(self, request: oip.ModelInferRequest, write: Write) -> None:
        try:
            await self._generate(request, write)
        except (ClientGone, SlowReader):
            raise
        except RuntimeServerError as error:
            await write(_failed(request, error))
        except Exception:
            _log.exception("request failed", method="model_stream_infer")
            words = "INTERNAL: the server failed on this request; its log says more"
            await write(stream_error(request.id, words))
        finally:
            self._count -= 1
            self._ids.discard(request.id)

    async def _generate(self, request: oip.ModelInferRequest, write: Write) -> None:
        found = self._read(request)
        streaming = found.stream is not False
        chunks: list[TextChunk] = []
        endings: list[Ending] = []
        async with aclosing(self._service.stream("model_stream_infer", found.call)) as events:
            async for event in events:
                if isinstance(event, TextChunk):
                    if streaming:
                        await write(oip.ModelStreamInferResponse(infer_response=found.answers.chunk(event)))
                    else:
                        chunks.append(event)
                    continue
                endings.append(event)
                if streaming and len(endings) < found.call.options.n:
                    await write(oip.ModelStreamInferResponse(infer_response=found.answers.end(event, final=False)))
        ending = worst(endings)
        code = status.code_of_finish(ending.reason, engine_lost=ending.engine_lost)
        if code is not grpc.StatusCode.OK:
            await write(stream_error(request.id, f"{code.name}: {ending.message}", ending))
        elif streaming:
            await write(oip.ModelStreamInferResponse(infer_response=found.answers.end(endings[-1], final=True)))
        else:
            answer = found.answers.whole(chunks, endings, final=True)
            await write(oip.ModelStreamInferResponse(infer_response=answer))


def _failed(request: oip.ModelInferRequest, error: RuntimeServerError) -> oip.ModelStreamInferResponse:
    """A stream has no status for each of its requests."""
    words = f"{status.code_of(error).name}: {in_these_words(error).message}"
    return stream_error(request.id[:_LONGEST_ID], words)
