"""inference.GRPCInferenceService, the Open Inference Protocol with Triton's extensions: inference, and what is refused.

What requests mean is in `oip_tensors.py` and `oip_parameters.py`, how they run in `oip_calls.py`; all other calls are
in `oip_server.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest, NotOffered
from genai_runtime.front.access import Access
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.oip_calls import ReadRequest, StreamedRequests, in_these_words, infer, read_request
from genai_runtime.front.dialects.oip_server import LiveSettings, OpenInferenceServer
from genai_runtime.front.dialects.serving import Caller, answered, caller_of, end
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.dialects.writing import ClientGone, StreamWriter
from genai_runtime.front.generating import GenerationService

_NO_SHARED_MEMORY = "shared memory is not offered: send tensors in the request; a text is small"


class OpenInferenceService(OpenInferenceServer):
    """The servicer. As in genai.v1, a client that takes no message for `write_seconds` is cut off."""

    def __init__(
        self,
        service: GenerationService,
        card: ModelCard,
        access: Access,
        settings: LiveSettings,
        write_seconds: float,
    ) -> None:
        super().__init__(service, card, access, settings)
        self._write_seconds = write_seconds

    @answered
    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        """The whole answer at once."""
        caller = caller_of(self._access, context)
        try:
            answers, chunks, endings = await infer(self._service, self._read(request, caller))
        except InvalidRequest as error:
            raise in_these_words(error) from error
        await end(context, endings)
        return answers.whole(chunks, endings, final=None)

    @answered
    async def ModelStreamInfer(self, request: AsyncIterator[oip.ModelInferRequest], context: Context) -> None:
        """Many requests, each with many answers; the stream outlives the requests that fail."""
        caller = caller_of(self._access, context)
        turn = asyncio.Lock()
        with suppress(ClientGone), StreamWriter(context, self._write_seconds) as writer:

            async def write(message: oip.ModelStreamInferResponse) -> None:
                async with turn:
                    await writer.write(message)

            await StreamedRequests(self._service, lambda found: self._read(found, caller)).serve(request, write)

    @answered
    async def SystemSharedMemoryStatus(
        self, request: oip.SystemSharedMemoryStatusRequest, context: Context
    ) -> oip.SystemSharedMemoryStatusResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    @answered
    async def SystemSharedMemoryRegister(
        self, request: oip.SystemSharedMemoryRegisterRequest, context: Context
    ) -> oip.SystemSharedMemoryRegisterResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    @answered
    async def SystemSharedMemoryUnregister(
        self, request: oip.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> oip.SystemSharedMemoryUnregisterResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    @answered
    async def CudaSharedMemoryStatus(
        self, request: oip.CudaSharedMemoryStatusRequest, context: Context
    ) -> oip.CudaSharedMemoryStatusResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    @answered
    async def CudaSharedMemoryRegister(
        self, request: oip.CudaSharedMemoryRegisterRequest, context: Context
    ) -> oip.CudaSharedMemoryRegisterResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    @answered
    async def CudaSharedMemoryUnregister(
        self, request: oip.CudaSharedMemoryUnregisterRequest, context: Context
    ) -> oip.CudaSharedMemoryUnregisterResponse:
        """Not offered."""
        raise NotOffered(_NO_SHARED_MEMORY)

    def _read(self, request: oip.ModelInferRequest, caller: Caller) -> ReadRequest:
        return read_request(request, self._card.name, caller)
