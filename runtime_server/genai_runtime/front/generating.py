"""The one way from a request to its tokens, for every protocol: prepare, wait for a slot, generate, finish once.

Protocols translate (`dialects/`), the engine process generates; here is what happens in between. No gRPC.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from genai_runtime.errors import (
    EngineFailure,
    InvalidRequest,
    ModelNotFound,
    NotServing,
    Overloaded,
    RuntimeServerError,
)
from genai_runtime.front import validation
from genai_runtime.front.admission import Admission, DeadlinePassed, Turn
from genai_runtime.front.cancel_rules import StandingRule
from genai_runtime.front.choices import TextChunk, requests_of
from genai_runtime.front.generation_run import Ending, GenerationRun
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.ports import EngineLink
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.state import StateHolder
from genai_runtime.front.tracing import Tracing
from genai_runtime.front.validation import Call
from genai_runtime.generation import FinishReason, GenerationRequest
from genai_runtime.profiling.timeline import Timeline

__all__ = ["Ending", "GenerationService", "RequestInfo", "TextChunk"]

_ENGINE_RETRY = 2.0
_CANCELLED = "cancelled by its request id"


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request that has not ended. `stage` is queued, prefill or decode; tokens are of all its choices together."""

    request_id: str
    method: str
    client: str
    stage: str
    prompt_tokens: int
    completion_tokens: int
    age_seconds: float
    choices: int = 1


class _Withdrawn(RuntimeServerError):
    """Cancelled before it had a slot; the message says by whom."""


@dataclass(eq=False, slots=True)
class _Held:
    """A request between its arrival and its end."""

    record: RequestRecord
    engine_ids: list[str]
    run: GenerationRun | None = None
    withdrawn: str = ""  # why, once it was cancelled

    def raise_if_withdrawn(self) -> None:
        """Raises `_Withdrawn` when it was cancelled while it was neither waiting nor running."""
        if self.withdrawn:
            raise _Withdrawn(self.withdrawn)


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Of every request, whatever it asks for; 0 seconds are no limit."""

    max_seconds: float = 0.0
    max_unread_bytes: int = 2**20
    choices: int = 8  # of one request


class GenerationService:
    """Used from the event loop only. `model` is set once it is loaded, `tracing` where traces are asked for."""

    def __init__(
        self, engine: EngineLink, state: StateHolder, admission: Admission, metrics: Metrics, limits: ServiceLimits
    ) -> None:
        self.model: ServedModel | None = None
        self.tracing: Tracing | None = None
        self.timeline = Timeline()  # of the profiling window that is open
        self._engine = engine
        self._state = state
        self._admission = admission
        self._metrics = metrics
        self._limits = limits
        self._held: dict[str, _Held] = {}  # by the clients' request ids
        self._engine_ids: set[str] = set()  # of all held requests' choices
        self.rule = StandingRule(self._records, self._end_by_rule)
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.adapters_in_use = self._adapters_in_use

    async def stream(self, method: str, call: Call) -> AsyncGenerator[TextChunk | Ending]:
        """Chunks, and one `Ending` for each choice; a request that is not accepted raises instead, before any event.

        Raises `InvalidRequest`, `ModelNotFound`, `Overloaded`, `NotServing`, `DeadlinePassed`. Closing the generator,
        or cancelling the task that runs it, ends the generation in the engine.
        """
        record = RequestRecord(method, self._metrics, client=call.client, timeline=self.timeline)
        held: _Held | None = None
        try:
            self.refuse_unless_serving()
            held = self._hold(call, record)
            self.rule.arrived(record)
            held.raise_if_withdrawn()
            request = await self.served_model().prepare(call, record.request_id)
            record.prepared(request)
            turn = Turn(record.request_id, call.client, record.choices, request.priority, call.deadline)
            held.raise_if_withdrawn()
            async with self._admission.slot(turn) as queue_seconds:
                held.raise_if_withdrawn()
                if (refusal := self._state.refusal(accepted=True)) is not None:
                    raise refusal
                record.admitted(queue_seconds)
                run = held.run = self._start(request, call, record)
                try:
                    while run.running:
                        events = await run.next()
                        if self.rule.rule is not None:
                            self.rule.look_at(record)
                        for event in events:
                            yield event
                finally:
                    run.close()
        except _Withdrawn as error:
            record.finished(FinishReason.CANCELLED)
            for index in range(record.choices):
                yield Ending(FinishReason.CANCELLED, record, error.message, index=index)
        except RuntimeServerError as error:
            record.refused(_refusal_label(error))
            raise
        finally:
            if held is not None:
                self._let_go(held)
            record.finished(FinishReason.CANCELLED)  # does nothing if something else ended it
            if self.tracing is not None:
                self.tracing.request_ended(record, call)

    async def run(self, request: GenerationRequest, record: RequestRecord) -> AsyncGenerator[TextChunk | Ending]:
        """Generate now, without admission (the warm-up comes in here). Raises `NotServing` if there is no engine."""
        run = self._start(request, Call(), record)
        try:
            while run.running:
                for event in await run.next():
                    yield event
        finally:
            run.close()

    async def tokenize(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of `text`, special tokens in it honoured. Raises `InvalidRequest` for a text longer than any prompt."""
        return await self.served_model().tokenize(text, add_special_tokens=add_special_tokens)

    async def detokenize(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out. Raises `InvalidRequest` for ids that the model does not have."""
        return await self.served_model().detokenize(ids)

    async def count_prompt_tokens(self, call: Call) -> int:
        """As `stream` would count them; nothing is generated. Raises as `stream` does for an invalid request."""
        return len((await self.served_model().prepare(call, "count")).prompt)

    def requests(self) -> list[RequestInfo]:
        """The requests that have not ended, oldest first."""
        return [_describe(held.record) for held in self._held.values()]

    def cancel(self, request_id: str) -> bool:
        """End this request with CANCELLED, wherever it is; False when there is none of that id."""
        held = self._held.get(request_id)
        if held is None:
            return False
        self._cancel(held, _CANCELLED)
        return True

    def end_all(self, reason: FinishReason, message: str = "") -> None:
        """End every running generation with `reason`."""
        for held in self._held.values():
            if held.run is not None:
                held.run.end(reason, message)

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

    def _records(self) -> list[RequestRecord]:
        return [held.record for held in self._held.values()]

    def _end_by_rule(self, record: RequestRecord, words: str) -> bool:
        """False when it is ending already."""
        held = self._held.get(record.request_id)
        if held is None or held.withdrawn or (held.run is not None and not held.run.running):
            return False
        self._cancel(held, words)
        return True

    def _cancel(self, held: _Held, words: str) -> None:
        held.withdrawn = held.withdrawn or words
        if held.run is not None:
            held.run.end(FinishReason.CANCELLED, words)
        else:
            self._admission.withdraw(held.record.request_id, _Withdrawn(words))

    def _adapters_in_use(self) -> tuple[set[str], set[str]]:
        """LoRA adapters of running and of waiting requests; read by the thread that serves /metrics."""
        records = [held.record for held in list(self._held.values())]
        running = {record.adapter for record in records if record.adapter and record.stage != "queued"}
        return running, {record.adapter for record in records if record.adapter and record.stage == "queued"}

    def _start(self, request: GenerationRequest, call: Call, record: RequestRecord) -> GenerationRun:
        requests = requests_of(replace(request, client=call.client), record.choices)
        try:
            stream = self._engine.submit(*requests, max_unread_bytes=self._limits.max_unread_bytes)
        except EngineFailure as error:
            raise NotServing(error.message, _ENGINE_RETRY) from error
        run = GenerationRun(self._engine, stream, requests, record)
        run.prepare_text(self.served_model().tokenizer, call.options.stop)
        run.limit(call.deadline, self._limits.max_seconds)
        return run

    def _hold(self, call: Call, record: RequestRecord) -> _Held:
        """Take the request's ids for it alone."""
        record.request_id = request_id = validation.check_request_id(call.request_id)
        record.choices = choices = validation.check_choices(call.options.n, self._limits.choices)
        ids = [request_id, *(f"{request_id}-{index}" for index in range(1, choices))]
        if not self._engine_ids.isdisjoint(ids):
            raise InvalidRequest("request_id", f"{request_id} names a request that has not ended yet")
        held = self._held[request_id] = _Held(record, ids)
        self._engine_ids.update(ids)
        self._idle.clear()
        return held

    def _let_go(self, held: _Held) -> None:
        del self._held[held.record.request_id]
        self._engine_ids.difference_update(held.engine_ids)
        if not self._held:
            self._idle.set()


def _describe(record: RequestRecord) -> RequestInfo:
    return RequestInfo(
        record.request_id,
        record.method,
        record.client,
        record.stage,
        record.prompt_tokens,
        record.completion_tokens,
        record.age_seconds,
        record.choices,
    )


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
