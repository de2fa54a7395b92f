"""POST /v1/completions in OpenAI's shapes, at once or as a stream."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.generating import Ending, GenerationService
from genai_runtime.front.http import json_text
from genai_runtime.front.http.answers import BadEnding, Event, events_of, finish_of, usage
from genai_runtime.front.http.bodies import parse
from genai_runtime.front.http.callers import signed
from genai_runtime.front.http.exchange import Exchange
from genai_runtime.front.http.logprobs import CompletionLogprobs, TokenTexts
from genai_runtime.front.http.openai_requests import CompletionRequest
from genai_runtime.front.http.prompts import Prompt, prompts_of
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.validation import Call

_MOST_LOGPROBS = 5
_MOST_CHOICES = 128


class Completions:
    """The handler."""

    def __init__(self, service: GenerationService) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        """See the module."""
        self._service.refuse_unless_serving()
        model = self._service.served_model()
        request = parse(CompletionRequest, await exchange.body())
        prompts = prompts_of(request.prompt, model.info.max_sequence_length)
        calls = _calls(exchange, request, prompts)
        answer = _Answer(exchange.request_id, model, request, await self._echoes(request, prompts))
        events = events_of(self._service, "generate", calls)
        await exchange.until_gone(
            _stream(exchange, answer, events) if request.stream else _whole(exchange, answer, events)
        )

    async def _echoes(self, request: CompletionRequest, prompts: Sequence[Prompt]) -> list[str]:
        """The prompts' texts, where the answer begins with them."""
        if not request.echo:
            return ["" for _ in prompts]
        return [await self._service.detokenize(p.ids) if p.ids is not None else p.text or "" for p in prompts]


def _calls(exchange: Exchange, request: CompletionRequest, prompts: Sequence[Prompt]) -> list[Call]:
    request.check_stream()
    if request.best_of not in (None, request.n):
        raise InvalidRequest("best_of", "cannot be used: every answer is given out; use n")
    if request.logprobs is not None and not 0 <= request.logprobs <= _MOST_LOGPROBS:
        raise InvalidRequest("logprobs", f"is {request.logprobs}; it must be 0 to {_MOST_LOGPROBS}")
    if request.logprobs is not None and request.echo:
        raise InvalidRequest("echo", "cannot be used together with logprobs: those of a prompt are not computed")
    if request.n * len(prompts) > _MOST_CHOICES:
        raise InvalidRequest(
            "n", f"times the prompts makes {request.n * len(prompts)} answers; {_MOST_CHOICES} are allowed"
        )
    options = request.options(request.max_tokens, request.logprobs, request.guidance())
    several = len(prompts) > 1
    calls = [Call(model=request.model, text=prompt.text, ids=prompt.ids, options=options) for prompt in prompts]
    return [signed(exchange, call, number if several else None) for number, call in enumerate(calls)]


@dataclass(slots=True)
class _Choice:
    texts: list[str]
    logprobs: CompletionLogprobs | None
    finish: str | None = None


@dataclass(slots=True)
class _Answer:
    """What has come so far. The records are those of the calls that have ended."""

    request_id: str
    model: ServedModel
    request: CompletionRequest
    echoes: list[str]
    created: int = field(default_factory=lambda: int(time.time()))
    choices: list[_Choice] = field(default_factory=list)
    records: dict[str, RequestRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = TokenTexts(self.model.tokenizer) if self.request.logprobs is not None else None
        for echo in self.echoes:
            for _ in range(self.request.n):
                self.choices.append(
                    _Choice([echo] if echo else [], CompletionLogprobs(texts) if texts is not None else None)
                )

    def head(self) -> dict[str, Any]:
        """What all objects of this answer share."""
        return {
            "id": f"cmpl-{self.request_id}",
            "object": "text_completion",
            "created": self.created,
            "model": self.request.model or self.model.name,
        }

    def take(self, event: Event) -> _Choice:
        """Keep the event. Raises `BadEnding`."""
        choice = self.choices[event.index]
        if isinstance(event, Ending):
            self.records[event.record.request_id] = event.record
            choice.finish = finish_of(event)
        else:
            choice.texts.append(event.text)
            if choice.logprobs is not None:
                choice.logprobs.add(event.logprobs)
        return choice

    def usage(self) -> dict[str, Any]:
        """Of all calls."""
        return usage(list(self.records.values()))


async def _whole(exchange: Exchange, answer: _Answer, events: AsyncGenerator[Event]) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                answer.take(event)
    except BadEnding as error:
        await exchange.fail(error.problem)
        return
    choices = [
        {
            "index": index,
            "text": "".join(choice.texts),
            "logprobs": choice.logprobs.take() if choice.logprobs is not None else None,
            "finish_reason": choice.finish,
        }
        for index, choice in enumerate(answer.choices)
    ]
    await exchange.answer(json_text.dumps({**answer.head(), "choices": choices, "usage": answer.usage()}).encode())


async def _stream(exchange: Exchange, answer: _Answer, events: AsyncGenerator[Event]) -> None:
    """The first event is awaited before the status is written: what is refused is refused as such."""
    head = json_text.dumps(answer.head())[:-1] + ',"choices":[{"index":'
    tail = "}]" + (',"usage":null}' if answer.request.wants_usage else "}")
    try:
        async with aclosing(events):
            async for event in events:
                if not exchange.started:
                    await _begin(exchange, answer, head, tail)
                choice = answer.take(event)
                if isinstance(event, Ending):
                    finish, text = json_text.quote(choice.finish), ""
                else:
                    finish, text = "null", event.text
                logprobs = "null" if choice.logprobs is None or not text else json_text.dumps(choice.logprobs.take())
                if text or finish != "null":
                    piece = (
                        f'{event.index},"text":{json_text.quote(text)},"logprobs":{logprobs},"finish_reason":{finish}'
                    )
                    await exchange.write(json_text.event(f"{head}{piece}{tail}"))
    except BadEnding as error:
        await _tell_usage(exchange, answer)
        await exchange.fail(error.problem)
        return
    await _tell_usage(exchange, answer)
    await exchange.write(json_text.DONE)
    await exchange.end()


async def _tell_usage(exchange: Exchange, answer: _Answer) -> None:
    """As asked for with stream_options."""
    if answer.request.wants_usage:
        last = {**answer.head(), "choices": [], "usage": answer.usage()}
        await exchange.write(json_text.event(json_text.dumps(last)))


async def _begin(exchange: Exchange, answer: _Answer, head: str, tail: str) -> None:
    await exchange.begin_events()
    for index, choice in enumerate(answer.choices):
        for echo in choice.texts:
            piece = f'{index},"text":{json_text.quote(echo)},"logprobs":null,"finish_reason":null'
            await exchange.write(json_text.event(f"{head}{piece}{tail}"))
