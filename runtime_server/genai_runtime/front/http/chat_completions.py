"""POST /v1/chat/completions in OpenAI's shapes, at once or as a stream. What tools do is `tool_choice.py`."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from genai_runtime.front.generating import Ending, GenerationService, TextChunk
from genai_runtime.front.http import json_text
from genai_runtime.front.http.answers import BadEnding, Event, events_of, finish_of, usage
from genai_runtime.front.http.bodies import parse
from genai_runtime.front.http.callers import signed
from genai_runtime.front.http.exchange import Exchange
from genai_runtime.front.http.logprobs import TokenTexts, chat_entries
from genai_runtime.front.http.openai_requests import ChatCompletionRequest
from genai_runtime.front.http.tool_choice import ToolPlan, plan_tools
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.tool_calls import Arguments, CallStarted, Part, ToolCallReader
from genai_runtime.front.validation import Call


class ChatCompletions:
    """The handler."""

    def __init__(self, service: GenerationService) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        """See the module."""
        self._service.refuse_unless_serving()
        model = self._service.served_model()
        request = parse(ChatCompletionRequest, await exchange.body())
        request.check_stream()
        plan = plan_tools(request, model)
        events = events_of(self._service, "chat", [_call(exchange, request, plan)])
        texts = TokenTexts(model.tokenizer) if request.logprobs else None
        answer = _Answer(exchange.request_id, request.model or model.name, plan, request.n, texts)
        work = (
            _stream(exchange, answer, events, request.wants_usage)
            if request.stream
            else _whole(exchange, answer, events)
        )
        await exchange.until_gone(work)


def _call(exchange: Exchange, request: ChatCompletionRequest, plan: ToolPlan) -> Call:
    call = Call(
        model=request.model,
        messages=[message.message(f"messages[{number}]") for number, message in enumerate(request.messages)],
        options=request.options(request.most_tokens(), request.alternatives(), plan.guidance),
        tools=plan.tools,
        template_arguments=request.chat_template_kwargs or {},
    )
    return signed(exchange, call)


@dataclass(slots=True)
class _Choice:
    """One answer so far: content, calls, log-probabilities."""

    reader: ToolCallReader | None
    parallel: bool
    content: list[str] = field(default_factory=list)
    calls: list[CallStarted] = field(default_factory=list)
    arguments: list[list[str]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish: str = ""

    def read(self, text: str) -> list[Part]:
        """The parts that `text` completes."""
        return self._keep([text] if self.reader is None else self.reader.push(text))

    def rest(self) -> list[Part]:
        """At the end."""
        return [] if self.reader is None else self._keep(self.reader.flush())

    def _keep(self, parts: list[Part]) -> list[Part]:
        if not self.parallel:
            parts = [part for part in parts if isinstance(part, str) or part.index == 0]
        for part in parts:
            if isinstance(part, CallStarted):
                self.calls.append(part)
                self.arguments.append([])
            elif isinstance(part, Arguments):
                self.arguments[part.index].append(part.text)
            else:
                self.content.append(part)
        return parts

    def message(self) -> dict[str, Any]:
        """As OpenAI writes it: no content beside calls is null."""
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": content if content or not self.calls else None}
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(self.arguments[call.index])},
                }
                for call in self.calls
            ]
        return message


@dataclass(slots=True)
class _Answer:
    """All choices of one request."""

    request_id: str
    model: str
    plan: ToolPlan
    n: int
    texts: TokenTexts | None
    created: int = field(default_factory=lambda: int(time.time()))
    choices: list[_Choice] = field(default_factory=list)
    record: RequestRecord | None = None

    def __post_init__(self) -> None:
        self.choices = [_Choice(self.plan.reader(), self.plan.parallel) for _ in range(self.n)]

    def head(self, kind: str) -> dict[str, Any]:
        """What all objects of this answer share."""
        return {"id": f"chatcmpl-{self.request_id}", "object": kind, "created": self.created, "model": self.model}

    def entries(self, chunk: TextChunk) -> list[dict[str, Any]]:
        """The chunk's log-probabilities."""
        return chat_entries(chunk.logprobs, self.texts) if self.texts is not None else []

    def finish(self, ending: Ending) -> str:
        """One choice's finish_reason. Raises `BadEnding`."""
        choice = self.choices[ending.index]
        self.record = ending.record
        finish = finish_of(ending)
        choice.finish = self.plan.finish if choice.calls and finish == "stop" else finish
        return choice.finish

    def usage(self) -> dict[str, Any]:
        """Of all choices."""
        return usage([] if self.record is None else [self.record])


async def _whole(exchange: Exchange, answer: _Answer, events: AsyncGenerator[Event]) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                choice = answer.choices[event.index]
                if isinstance(event, Ending):
                    choice.rest()
                    answer.finish(event)
                else:
                    choice.read(event.text)
                    choice.logprobs += answer.entries(event)
    except BadEnding as error:
        await exchange.fail(error.problem)
        return
    choices = [
        {
            "index": index,
            "message": choice.message(),
            "logprobs": {"content": choice.logprobs} if answer.texts is not None else None,
            "finish_reason": choice.finish,
        }
        for index, choice in enumerate(answer.choices)
    ]
    body = {**answer.head("chat.completion"), "choices": choices, "usage": answer.usage()}
    await exchange.answer(json_text.dumps(body).encode(errors="replace"))


async def _stream(exchange: Exchange, answer: _Answer, events: AsyncGenerator[Event], wants_usage: bool) -> None:
    """The first event is awaited before the status is written: what is refused is refused as such."""
    writer = _Writer(answer, wants_usage)
    try:
        async with aclosing(events):
            async for event in events:
                if not exchange.started:
                    await exchange.begin_events()
                    await exchange.write(writer.opening())
                data = writer.ending(event) if isinstance(event, Ending) else writer.chunk(event)
                if data:
                    await exchange.write(data)
    except BadEnding as error:
        if wants_usage:
            await exchange.write(writer.usage())
        await exchange.fail(error.problem)
        return
    await exchange.write(writer.usage() + json_text.DONE)
    await exchange.end()


class _Writer:
    """Events of a stream; all that is the same in each of them is made once."""

    def __init__(self, answer: _Answer, wants_usage: bool) -> None:
        self._answer = answer
        self._wants_usage = wants_usage
        self._head = json_text.dumps(answer.head("chat.completion.chunk"))[:-1] + ',"choices":[{"index":'
        self._tail = "}]" + (',"usage":null}' if wants_usage else "}")
        self._contents = [f'{self._head}{index},"delta":{{"content":' for index in range(answer.n)]
        self._plain_tail = '},"logprobs":null,"finish_reason":null' + self._tail

    def opening(self) -> bytes:
        """The role of each choice."""
        delta = '"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null'
        pieces = [json_text.event(f"{self._head}{index},{delta}{self._tail}") for index in range(self._answer.n)]
        return b"".join(pieces)

    def chunk(self, chunk: TextChunk) -> bytes:
        """New text."""
        choice = self._answer.choices[chunk.index]
        if choice.reader is None and self._answer.texts is None:
            if not chunk.text:
                return b""
            return json_text.event(f"{self._contents[chunk.index]}{json_text.quote(chunk.text)}{self._plain_tail}")
        choice.logprobs += self._answer.entries(chunk)
        return self._parts(chunk.index, choice.read(chunk.text))

    def ending(self, ending: Ending) -> bytes:
        """The rest of the text, and why there is no more. Raises `BadEnding`."""
        choice = self._answer.choices[ending.index]
        rest = self._parts(ending.index, choice.rest())
        finish = json_text.quote(self._answer.finish(ending))
        return rest + self._delta(ending.index, {}, finish)

    def usage(self) -> bytes:
        """After the last choice, or before the error of a bad ending, if it is asked for."""
        if not self._wants_usage:
            return b""
        last = {**self._answer.head("chat.completion.chunk"), "choices": [], "usage": self._answer.usage()}
        return json_text.event(json_text.dumps(last))

    def _parts(self, index: int, parts: list[Part]) -> bytes:
        return b"".join(self._delta(index, _delta_of(part)) for part in parts if part != "")

    def _delta(self, index: int, delta: dict[str, Any], finish: str = "null") -> bytes:
        """Log-probabilities go with the next delta that there is."""
        choice, logprobs = self._answer.choices[index], "null"
        if self._answer.texts is not None and choice.logprobs:
            logprobs = json_text.dumps({"content": choice.logprobs})
            choice.logprobs = []
        piece = f'{index},"delta":{json_text.dumps(delta)},"logprobs":{logprobs},"finish_reason":{finish}'
        return json_text.event(f"{self._head}{piece}{self._tail}")


def _delta_of(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"content": part}
    if isinstance(part, CallStarted):
        function = {"name": part.name, "arguments": ""}
        return {"tool_calls": [{"index": part.index, "id": part.id, "type": "function", "function": function}]}
    return {"tool_calls": [{"index": part.index, "function": {"arguments": part.text}}]}
