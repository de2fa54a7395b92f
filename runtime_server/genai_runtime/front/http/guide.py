"""The routes of the ONNX Runtime GenAI backend guide: GET /healthz, POST /v1/chat and /v1/chat/stream, with timings.

Errors have OpenAI's shape, as on the other routes under /v1.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from genai_runtime.front.generating import Ending, GenerationService
from genai_runtime.front.http import json_text
from genai_runtime.front.http.answers import BadEnding, Event, events_of, finish_of
from genai_runtime.front.http.bodies import Body, parse
from genai_runtime.front.http.callers import signed
from genai_runtime.front.http.exchange import Exchange
from genai_runtime.front.http.openai_requests import MessageFields, Strings
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.state import StateHolder
from genai_runtime.front.validation import Call, Options

BACKEND = "onnx-genai"  # the guide's requests also name it as their model


class GuideRequest(Body):
    """As the guide writes it, and what else changes an answer."""

    model: str = ""
    messages: list[MessageFields]
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: Strings | None = None


class Guide:
    """The handlers."""

    def __init__(self, service: GenerationService, state: StateHolder, name: str, model_dir: str) -> None:
        self._service = service
        self._state = state
        self._name = name
        self._model_dir = model_dir

    async def health(self, exchange: Exchange) -> None:
        """200 while requests are answered, else 503 with the state."""
        model = self._service.model
        answer = {
            "status": "ok" if self._state.ready else self._state.state.value,
            "backend": BACKEND,
            "device": model.info.provider if model is not None else None,
            "model_dir": self._model_dir,
        }
        await exchange.answer(json_text.dumps(answer).encode(), 200 if self._state.ready else 503)

    async def chat(self, exchange: Exchange) -> None:
        """The whole answer."""
        events = await self._events(exchange)
        await exchange.until_gone(self._whole(exchange, events))

    async def stream(self, exchange: Exchange) -> None:
        """One event a token."""
        events = await self._events(exchange)
        await exchange.until_gone(self._stream(exchange, events))

    async def _events(self, exchange: Exchange) -> AsyncGenerator[Event]:
        self._service.refuse_unless_serving()
        request = parse(GuideRequest, await exchange.body())
        options = Options(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            repetition_penalty=request.repetition_penalty,
            seed=request.seed,
            stop=request.stop or (),
        )
        messages = [message.message(f"messages[{number}]") for number, message in enumerate(request.messages)]
        model = "" if request.model == BACKEND else request.model
        call = Call(model=model, messages=messages, options=options)
        return events_of(self._service, "chat", [signed(exchange, call)])

    async def _whole(self, exchange: Exchange, events: AsyncGenerator[Event]) -> None:
        texts: list[str] = []
        metrics: dict[str, Any] = {}
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Ending):
                        finish_of(event)
                        metrics = self._metrics(event.record)
                    else:
                        texts.append(event.text)
        except BadEnding as error:
            await exchange.fail(error.problem)
            return
        await exchange.answer(json_text.dumps({"content": "".join(texts), "metrics": metrics}).encode(errors="replace"))

    async def _stream(self, exchange: Exchange, events: AsyncGenerator[Event]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    if not exchange.started:
                        await exchange.begin_events()
                    if isinstance(event, Ending):
                        finish_of(event)
                        last = {"done": True, "token": "[DONE]", "metrics": self._metrics(event.record)}
                        await exchange.write(json_text.event(json_text.dumps(last)))
                    elif event.text:
                        await exchange.write(json_text.event(f'{{"token":{json_text.quote(event.text)}}}'))
        except BadEnding as error:
            await exchange.fail(error.problem)
            return
        await exchange.end()

    def _metrics(self, record: RequestRecord) -> dict[str, Any]:
        """Seconds. `tokens_per_second` is over the whole latency, `output_tokens_per_second` after the first token."""
        latency = record.total_seconds or record.age_seconds
        return {
            "ttft": round(record.first_token_seconds, 6),
            "total_latency": round(latency, 6),
            "tokens_per_second": round(record.completion_tokens / latency, 3) if latency else 0.0,
            "output_tokens_per_second": round(record.tokens_per_second, 3),
            "input_tokens": record.prompt_tokens,
            "output_tokens": record.completion_tokens,
            "tpot": round(record.seconds_per_token, 6),
            "model": self._name,
        }
