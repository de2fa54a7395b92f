"""The Open Inference Protocol over REST with Triton's generate extension: health, metadata, generate, infer.

Tensors and parameters mean what they do over gRPC (`dialects/oip*.py`), which reads and fills them.
"""

from contextlib import aclosing
from typing import Any

from google.protobuf.json_format import MessageToDict

from genai_runtime.errors import InvalidRequest, ModelNotFound
from genai_runtime.front.dialects import oip_model
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.oip_answers import VERSION
from genai_runtime.front.dialects.oip_calls import check_served, in_these_words, infer, read_request
from genai_runtime.front.dialects.oip_parameters import parameters_of
from genai_runtime.front.dialects.serving import Caller, worst
from genai_runtime.front.generating import Ending, GenerationService, TextChunk
from genai_runtime.front.http import json_text
from genai_runtime.front.http.answers import BadEnding, finish_of
from genai_runtime.front.http.bodies import Body, parse_object, validate
from genai_runtime.front.http.callers import signed
from genai_runtime.front.http.exchange import Exchange, Handler
from genai_runtime.front.http.tensors import InferBody, as_json, as_message
from genai_runtime.front.validation import Call


class GenerateBody(Body):
    """Triton's generate extension. Parameters may also stand beside `text_input`."""

    text_input: str
    id: str = ""
    parameters: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


class OpenInference:
    """The handlers."""

    def __init__(self, service: GenerationService, card: ModelCard) -> None:
        self._service = service
        self._card = card

    async def server(self, exchange: Exchange) -> None:
        """Name, version, extensions."""
        found = MessageToDict(oip_model.server_metadata(), preserving_proto_field_name=True)
        found["extensions"] = ["generate", "parameters"]
        await exchange.answer(json_text.dumps(found).encode())

    async def live(self, exchange: Exchange) -> None:
        """The process lives."""
        await exchange.answer(b'{"live":true}')

    async def ready(self, exchange: Exchange) -> None:
        """Requests are answered."""
        await self._tell_ready(exchange)

    async def model_ready(self, exchange: Exchange) -> None:
        """Of the one model."""
        self._check_model(exchange)
        await self._tell_ready(exchange)

    async def model(self, exchange: Exchange) -> None:
        """The model's tensors."""
        name = self._check_model(exchange)
        found = MessageToDict(oip_model.model_metadata(name), preserving_proto_field_name=True)
        for tensor in (*found["inputs"], *found["outputs"]):
            tensor["shape"] = [int(size) for size in tensor["shape"]]  # protobuf writes 64 bits as text
        await exchange.answer(json_text.dumps(found).encode())

    async def infer(self, exchange: Exchange) -> None:
        """Tensors in, tensors out."""
        self._service.refuse_unless_serving()
        if exchange.header(b"inference-header-content-length"):
            raise InvalidRequest("inference-header-content-length", "binary tensors are not offered here; use gRPC")
        body = validate(InferBody, parse_object(await exchange.body()))
        request = as_message(body, exchange.path_parameters["model"], exchange.path_parameters.get("version", ""))
        trace = exchange.header(b"traceparent"), exchange.header(b"tracestate")
        found = read_request(request, self._card.name, Caller(exchange.client, None, *trace))

        async def work() -> None:
            answers, chunks, endings = await infer(self._service, found)
            try:
                finish_of(worst(endings))
            except BadEnding as error:
                await exchange.fail(error.problem)
                return
            await exchange.answer(json_text.dumps(as_json(answers.whole(chunks, endings, final=None))).encode())

        await exchange.until_gone(work())

    async def generate(self, exchange: Exchange) -> None:
        """A text in, a text out."""
        await self._generate(exchange, stream=False)

    async def generate_stream(self, exchange: Exchange) -> None:
        """The same as events."""
        await self._generate(exchange, stream=True)

    async def _generate(self, exchange: Exchange, *, stream: bool) -> None:
        self._service.refuse_unless_serving()
        fields = parse_object(await exchange.body())
        beside = {name: fields.pop(name) for name in list(fields) if name not in GenerateBody.model_fields}
        body = validate(GenerateBody, fields)
        parameters = parameters_of({**beside, **body.parameters})
        if parameters.stream not in (None, stream):
            other = "generate" if stream else "generate_stream"
            raise InvalidRequest("parameters.stream", f"contradicts the route; use {other}")
        call = signed(exchange, Call(model=self._named(exchange), text=body.text_input, options=parameters.options))
        answer = _Generated(exchange, self._card.name, body.id)
        work = answer.stream if stream else answer.whole

        async def run() -> None:
            async with aclosing(self._service.stream("generate", call)) as events:
                try:
                    await work(events, parameters.options.n)
                except BadEnding as error:
                    await exchange.fail(error.problem)

        await exchange.until_gone(run())

    async def _tell_ready(self, exchange: Exchange) -> None:
        await exchange.answer(
            b'{"ready":true}' if self._card.ready else b'{"ready":false}', 200 if self._card.ready else 503
        )

    def _check_model(self, exchange: Exchange) -> str:
        parameters = exchange.path_parameters
        check_served(parameters["model"], parameters.get("version", ""), self._card.name)
        return self._card.name

    def _named(self, exchange: Exchange) -> str:
        """The route's model, which may be an adapter's name."""
        parameters = exchange.path_parameters
        if parameters.get("version", "") not in ("", VERSION):
            raise ModelNotFound(f"model {self._card.name!r} has version {VERSION!r} alone")
        return str(parameters["model"])


class _Generated:
    """Answers of the generate extension."""

    def __init__(self, exchange: Exchange, model: str, id_: str) -> None:
        self._exchange = exchange
        self._head = {"id": id_ or exchange.request_id, "model_name": model, "model_version": VERSION}

    async def whole(self, events: Any, choices: int) -> None:
        """One text, or a list of them. Raises `BadEnding`."""
        texts = [""] * choices
        finishes = [""] * choices
        counts: dict[str, int] = {}
        async for event in events:
            if isinstance(event, TextChunk):
                texts[event.index] += event.text
            else:
                finishes[event.index], counts = finish_of(event), _counts(event)
        body = {**self._head, "text_output": _one(texts), "finish_reason": _one(finishes), **counts}
        await self._exchange.answer(json_text.dumps(body).encode(errors="replace"))

    async def stream(self, events: Any, choices: int) -> None:
        """One event a chunk; each choice ends with its finish_reason. Raises `BadEnding`."""
        exchange = self._exchange
        head = json_text.dumps(self._head)[:-1]
        async for event in events:
            if not exchange.started:
                await exchange.begin_events()
            index = f',"index":{event.index}' if choices > 1 else ""
            if isinstance(event, TextChunk):
                if event.text:
                    text = json_text.quote(event.text)
                    await exchange.write(json_text.event(f'{head}{index},"text_output":{text}}}'))
                continue
            last = json_text.dumps({"text_output": "", "finish_reason": finish_of(event), **_counts(event)})
            await exchange.write(json_text.event(f"{head}{index},{last[1:]}"))
        await exchange.end()


def in_oip_words(handler: Handler) -> Handler:
    """Errors of this protocol: its shape, and its names of fields."""

    async def handle(exchange: Exchange) -> None:
        try:
            await handler(exchange)
        except InvalidRequest as error:
            raise in_these_words(error) from error

    return handle


def _one(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _counts(ending: Ending) -> dict[str, int]:
    return {"prompt_tokens": ending.record.prompt_tokens, "completion_tokens": ending.record.completion_tokens}
