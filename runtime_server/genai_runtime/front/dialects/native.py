"""genai.v1.GenAIService: its calls on the server's own service. Messages are translated in `native_messages.py`."""

from contextlib import aclosing, suppress

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as pb_grpc
from genai_runtime.errors import InvalidRequest, RequestNotFound
from genai_runtime.front.access import Access
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.native_messages import (
    ChunkMessage,
    finish_message,
    messages_of,
    options_of,
    request_info,
)
from genai_runtime.front.dialects.serving import answered, caller_of, end
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.dialects.writing import ClientGone, StreamWriter
from genai_runtime.front.generating import Ending, GenerationService, RequestInfo, TextChunk
from genai_runtime.front.validation import Call, check_model


class NativeService(pb_grpc.GenAIServiceServicer):
    """The servicer. A client that takes no message for `write_seconds` is cut off, for it keeps an engine slot."""

    def __init__(self, service: GenerationService, card: ModelCard, access: Access, write_seconds: float) -> None:
        self._service = service
        self._card = card
        self._access = access
        self._write_seconds = write_seconds

    @answered
    async def Generate(self, request: pb.GenerateRequest, context: Context) -> None:
        """See the protocol."""
        kind = request.WhichOneof("input")
        caller = caller_of(self._access, context)
        call = Call(
            request_id=request.request_id,
            model=request.model,
            text=request.prompt if kind == "prompt" else None,
            ids=list(request.token_ids.ids) if kind == "token_ids" else None,
            options=options_of(request.options),
            deadline=caller.deadline,
            client=caller.client,
            trace_parent=caller.trace_parent,
            trace_state=caller.trace_state,
        )
        await self._stream("generate", call, context)

    @answered
    async def Chat(self, request: pb.ChatRequest, context: Context) -> None:
        """See the protocol."""
        caller = caller_of(self._access, context)
        call = Call(
            request_id=request.request_id,
            model=request.model,
            messages=messages_of(request.messages),
            options=options_of(request.options),
            deadline=caller.deadline,
            client=caller.client,
            trace_parent=caller.trace_parent,
            trace_state=caller.trace_state,
        )
        await self._stream("chat", call, context)

    @answered
    async def Tokenize(self, request: pb.TokenizeRequest, context: Context) -> pb.TokenizeResponse:
        """See the protocol."""
        caller_of(self._access, context)
        check_model(request.model, self._card.name)
        kind = request.WhichOneof("input")
        if kind is None:
            raise InvalidRequest("input", "is missing; set text or conversation")
        if kind == "text":
            return pb.TokenizeResponse(token_ids=await self._service.tokenize(request.text))
        call = Call(messages=messages_of(request.conversation.messages))
        prepared = await self._service.served_model().prepare(call, "tokenize")
        return pb.TokenizeResponse(token_ids=prepared.prompt)

    @answered
    async def Detokenize(self, request: pb.DetokenizeRequest, context: Context) -> pb.DetokenizeResponse:
        """See the protocol."""
        caller_of(self._access, context)
        check_model(request.model, self._card.name)
        return pb.DetokenizeResponse(text=await self._service.detokenize(list(request.token_ids)))

    @answered
    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """See the protocol."""
        caller_of(self._access, context)
        return self._card.describe(request.model)

    @answered
    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelResponse:
        """See the protocol."""
        seen = self._visible(caller_of(self._access, context).client)
        if request.request_id not in {found.request_id for found in seen}:
            raise RequestNotFound(f"no request {request.request_id[:100]!r} of this caller waits or runs")
        self._service.cancel(request.request_id)
        return pb.CancelResponse()

    @answered
    async def ListRequests(self, request: pb.ListRequestsRequest, context: Context) -> pb.ListRequestsResponse:
        """See the protocol."""
        seen = self._visible(caller_of(self._access, context).client)
        return pb.ListRequestsResponse(requests=map(request_info, seen))

    def _visible(self, client: str) -> list[RequestInfo]:
        """The requests that this caller may see and end."""
        found = self._service.requests()
        return [info for info in found if info.client == client] if self._access.asks_for_keys else found

    async def _stream(self, method: str, call: Call, context: Context) -> None:
        """One message a chunk; this loop runs once a token of every stream."""
        endings: list[Ending] = []
        chunks: ChunkMessage | None = None
        with suppress(ClientGone), StreamWriter(context, self._write_seconds) as writer:
            async with aclosing(self._service.stream(method, call)) as events:
                async for event in events:
                    if isinstance(event, TextChunk):
                        if chunks is None:
                            chunks = ChunkMessage(event.request_id)
                        await writer.write(chunks.of(event))
                    else:
                        endings.append(event)
                        await writer.write(finish_message(event))
            await end(context, endings)
