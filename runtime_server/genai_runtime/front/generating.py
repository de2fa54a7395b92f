"""The one way from a request to its tokens, for every protocol: prepare, wait for a slot, generate, finish once.

Protocols translate (`dialects/`), the engine process generates; here is what happens in between. No gRPC.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from genai_runtime.errors import (
    EngineFailure,
    InvalidRequest,
    ModelNotFound,
    NotServing,
    Overloaded,
    RuntimeServerError,
)
from genai_runtime.front.admission import Admission, DeadlinePassed
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.ports import EngineLink, EngineStream
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.state import StateHolder
from genai_runtime.front.tokenizer import Detokenizer
from genai_runtime.front.validation import Call, check_request_id
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Tokens

# A stream ends this long before its client's deadline (a tenth of its time at most): its last message still arrives.
_DEADLINE_MARGIN = 0.25
# How long the engine may take to end a request that it was told to end; then the front ends it alone.
_END_PATIENCE = 2.0
_ENGINE_RETRY = 2.0


@dataclass(frozen=True, slots=True)
class TextChunk:
    """New tokens, and the characters they completed."""

    request_id: str
    text: str
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Ending:
    """The last event of a stream; `record` holds counts and timings. `engine_lost`: the engine died under it."""

    reason: FinishReason
    record: RequestRecord
    message: str = ""
    engine_lost: bool = False


class GenerationService:
    """Used from the event loop only. `model` is set once it is loaded."""

    def __init__(
        self, engine: EngineLink, state: StateHolder, admission: Admission, metrics: Metrics, max_seconds: float
    ) -> None:
        self.model: ServedModel | None = None
        self._engine = engine
        self._state = state
        self._admission = admission
        self._metrics = metrics
        self._max_seconds = max_seconds
        self._held: set[str] = set()  # request ids between arrival and end
        self._started: set[str] = set()  # of these, the ones in the engine
        self._idle = asyncio.Event()
        self._idle.set()

    async def stream(self, method: str, call: Call) -> AsyncGenerator[TextChunk | Ending]:
        """Chunks, then exactly one `Ending`; a request that is not accepted raises instead, before any event.

        Raises `InvalidRequest`, `ModelNotFound`, `Overloaded`, `NotServing`, `DeadlinePassed`. Closing the generator,
        or cancelling the task that runs it, ends the generation in the engine.
        """
        record = RequestRecord(method, self._metrics)
        try:
            self.refuse_unless_serving()
            record.request_id = self._claim(check_request_id(call.request_id))
            try:
                request = await self.served_model().prepare(call, record.request_id)
                record.prompt_tokens = len(request.prompt)
                async with self._admission.slot(call.deadline) as queue_seconds:
                    if not self._state.draining:  # what was accepted before the drain may still finish
                        self.refuse_unless_serving()
                    record.admitted(queue_seconds)
                    async with aclosing(self.run(request, call.deadline, record)) as events:
                        async for event in events:
                            yield event
            finally:
                self._unclaim(record.request_id)
        except RuntimeServerError as error:
            record.refused(_refusal_label(error))
            raise
        finally:
            record.finished(FinishReason.CANCELLED)  # does nothing if something else ended it

    async def run(
        self, request: GenerationRequest, deadline: float | None, record: RequestRecord
    ) -> AsyncGenerator[TextChunk | Ending]:
        """Generate now, without admission (the warm-up comes in here). Raises `NotServing` if there is no engine."""
        detokenizer = Detokenizer(self.served_model().tokenizer, request.prompt)
        try:
            stream = self._engine.submit(request)
        except EngineFailure as error:
            raise NotServing(error.message, _ENGINE_RETRY) from error
        timer = _Timer(self._engine, request.request_id, deadline, self._max_seconds)
        self._started.add(request.request_id)
        finished: Finished | None = None
        engine_lost = False
        try:
            while finished is None:
                try:
                    events = await timer.next_events(stream)
                except EngineFailure as error:
                    engine_lost = True
                    events = [Finished(request.request_id, FinishReason.ERROR, 0, 0, message=error.message)]
                ids = [id_ for event in events if isinstance(event, Tokens) for id_ in event.ids]
                finished = next((event for event in events if isinstance(event, Finished)), None)
                record.tokens(len(ids))
                text = detokenizer.push(ids) + (detokenizer.flush() if finished else "")
                if ids or text:
                    yield TextChunk(request.request_id, text, ids)
            record.finished(finished.reason)
            message = finished.message or timer.message or _MESSAGES.get(finished.reason, "")
            yield Ending(finished.reason, record, message, engine_lost)
        finally:
            self._started.discard(request.request_id)
            if finished is None:
                self._engine.cancel(request.request_id, FinishReason.CANCELLED)

    def end_all(self, reason: FinishReason) -> None:
        """End every running generation with `reason`."""
        for request_id in self._started:
            self._engine.cancel(request_id, reason)

    async def idle(self) -> None:
        """Returns when no request is held."""
        await self._idle.wait()

    def served_model(self) -> ServedModel:
        """The loaded model. Raises `NotServing` while there is none."""
        if self.model is None:
            raise NotServing("the model is being loaded", _ENGINE_RETRY)
        return self.model

    def refuse_unless_serving(self) -> None:
        """Raises `NotServing` with the reason."""
        refusal = self._state.refusal()
        if refusal is not None:
            raise refusal

    def _claim(self, request_id: str) -> str:
        if request_id in self._held:
            raise InvalidRequest("request_id", f"{request_id} names a request that has not ended yet")
        self._held.add(request_id)
        self._idle.clear()
        return request_id

    def _unclaim(self, request_id: str) -> None:
        self._held.discard(request_id)
        if not self._held:
            self._idle.set()


class _Timer:
    """Ends a generation at its client's deadline or the server's own limit, and then waits only briefly for the end."""

    def __init__(self, engine: EngineLink, request_id: str, deadline: float | None, max_seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._engine = engine
        self._request_id = request_id
        self._ending = False
        self.message = ""
        limit = now + max_seconds if max_seconds else math.inf
        client = math.inf if deadline is None else deadline - min(_DEADLINE_MARGIN, max(0.0, deadline - now) / 10)
        self._until = min(limit, client)
        self._why = "the client's deadline passed" if client <= limit else f"the server's {max_seconds:g} s are over"

    async def next_events(self, stream: EngineStream) -> list[Tokens | Finished]:
        """The stream's next events; when the time is up, what the engine says to being told to end."""
        loop = asyncio.get_running_loop()
        while loop.time() < self._until or self._ending:
            try:
                async with asyncio.timeout_at(None if math.isinf(self._until) else self._until):
                    return await stream.next_events()
            except TimeoutError:
                if self._ending:
                    return [Finished(self._request_id, FinishReason.DEADLINE, 0, 0)]
        self._ending, self.message = True, self._why
        self._until = loop.time() + _END_PATIENCE
        self._engine.cancel(self._request_id, FinishReason.DEADLINE)
        return await self.next_events(stream)


def _refusal_label(error: RuntimeServerError) -> str:
    """The metric's label; one of metrics.REFUSALS."""
    return next((label for kind, label in _LABELS.items() if isinstance(error, kind)), "failed")


_LABELS: dict[type[RuntimeServerError], str] = {
    InvalidRequest: "invalid",
    ModelNotFound: "not_found",
    Overloaded: "overloaded",
    NotServing: "not_serving",
    DeadlinePassed: "deadline_in_queue",
}

_MESSAGES = {
    FinishReason.TERMINATED: "ended by the runtime option terminate-session",
    FinishReason.SHUTDOWN: "the server is shutting down; another one will answer",
    FinishReason.ERROR: "the engine could not finish this generation",
}
