"""What OpenAI's clients send, typed, with the further sampling fields that vLLM takes; as the service's own `Call`.

Ranges are checked by the service, for every protocol alike. Answers are `completions.py` and `chat_completions.py`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import from_json

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.chat import Message
from genai_runtime.front.http.bodies import Body
from genai_runtime.front.validation import Options
from genai_runtime.generation import Guidance

_MOST_PARTS = 1024
_SEEDS = 2**64
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Strings = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]


class StreamOptions(Body):
    """With `stream` alone."""

    include_usage: bool = False
    include_obfuscation: bool = False  # padding against readers of packet sizes; TLS and meshes are for that
    continuous_usage_stats: Literal[False] = False


class JsonSchema(Body):
    """OpenAI's wrapping of a schema."""

    name: str
    schema_: dict[str, Any] | bool = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Body):
    """What the answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Body):
    """vLLM's way to say what the answer must match; one of them."""

    json_: str | dict[str, Any] | None = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


class SamplingFields(Body):
    """Fields of both APIs."""

    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    stop: Strings | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None
    # As vLLM takes them.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    min_tokens: int | None = None
    priority: int = Field(0, description="lower is served first, as in vLLM")
    structured_outputs: StructuredOutputs | None = None
    guided_json: str | dict[str, Any] | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None

    def check_stream(self) -> None:
        """Raises `InvalidRequest` for stream options without a stream."""
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest("stream_options", "is only allowed when stream is true")

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def options(self, max_tokens: int | None, logprobs: int | None, guidance: Guidance | None) -> Options:
        """Raises `InvalidRequest`."""
        return Options(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            seed=None if self.seed is None else _seed(self.seed),
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=_biases(self.logit_bias or {}),
            stop=self.stop or (),
            stop_token_ids=self.stop_token_ids or (),
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            n=self.n,
            logprobs=logprobs,
            guidance=guidance,
            priority=-self.priority,  # in the engine the higher goes first
        )

    def guidance(self) -> Guidance | None:
        """From whichever of the many fields says it. Raises `InvalidRequest` when two do."""
        asked = self.structured_outputs or StructuredOutputs.model_construct()
        found = [
            ("response_format", _format(self.response_format)),
            ("structured_outputs", _json_schema(asked.json_)),
            ("structured_outputs", _plain("regex", asked.regex)),
            ("structured_outputs", _choices(asked.choice)),
            ("structured_outputs", _plain("lark", asked.grammar)),
            ("structured_outputs", Guidance("json_object") if asked.json_object else None),
            ("guided_json", _json_schema(self.guided_json)),
            ("guided_regex", _plain("regex", self.guided_regex)),
            ("guided_choice", _choices(self.guided_choice)),
            ("guided_grammar", _plain("lark", self.guided_grammar)),
        ]
        said = [(name, guidance) for name, guidance in found if guidance is not None]
        if len(said) > 1:
            raise InvalidRequest(said[1][0], f"cannot be used together with {said[0][0]}")
        return said[0][1] if said else None


class CompletionRequest(SamplingFields):
    """POST /v1/completions."""

    prompt: Any = Field(
        json_schema_extra={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            ]
        }
    )
    echo: bool = False
    logprobs: int | None = None
    best_of: int | None = None


class FunctionCall(Body):
    """A call that the model made earlier."""

    name: str
    arguments: str


class ToolCall(Body):
    """The same with its id."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageFields(Body):
    """One turn; fields of OpenAI's answers are accepted where they say nothing, so that answers can be sent back."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    def message(self, place: str) -> Message:
        """Raises `InvalidRequest` that names the field below `place`."""
        calls = self.tool_calls or []
        return Message(
            role="system" if self.role == "developer" else self.role,
            content=_text(self.content, f"{place}.content"),
            name=self.name or "",
            tool_calls=[_call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)],
            tool_call_id=self.tool_call_id or "",
        )


class Function(Body):
    """What the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """OpenAI's wrapping of a function."""

    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    """By name."""

    name: str


class NamedTool(Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class ChatCompletionRequest(SamplingFields):
    """POST /v1/chat/completions."""

    messages: list[MessageFields]
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool = True
    chat_template_kwargs: dict[str, Any] | None = None

    def most_tokens(self) -> int | None:
        """`max_completion_tokens`, or its older name. Raises `InvalidRequest` when they differ."""
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise InvalidRequest("max_tokens", "is the older name of max_completion_tokens, and they differ")
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens

    def alternatives(self) -> int | None:
        """Log-probabilities a token, the chosen one's apart; None for none at all."""
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest("top_logprobs", "is only allowed when logprobs is true")
        return (self.top_logprobs or 0) if self.logprobs else None


def _format(wanted: ResponseFormat | None) -> Guidance | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Guidance("json_object")
    if wanted.json_schema is None:
        raise InvalidRequest("response_format.json_schema", "is missing")
    return Guidance("json_schema", json.dumps(wanted.json_schema.schema_))


def _json_schema(schema: str | Mapping[str, Any] | None) -> Guidance | None:
    if schema is None:
        return None
    return Guidance("json_schema", schema if isinstance(schema, str) else json.dumps(schema))


def _plain(kind: Literal["regex", "lark"], source: str | None) -> Guidance | None:
    return None if source is None else Guidance(kind, source)


def _choices(choices: Sequence[str] | None) -> Guidance | None:
    if choices is None:
        return None
    if not choices:
        raise InvalidRequest("guided_choice", "is empty")
    return Guidance("lark", "start: " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices))


def _seed(seed: int) -> int:
    """OpenAI's seeds may be below 0."""
    if not -_SEEDS // 2 <= seed < _SEEDS:
        raise InvalidRequest("seed", "must fit into 64 bits")
    return seed % _SEEDS


def _biases(biases: Mapping[str, float]) -> dict[int, float]:
    found: dict[int, float] = {}
    for id_, bias in biases.items():
        if not (id_.isascii() and id_.isdecimal() and len(id_) < 10):
            raise InvalidRequest("logit_bias", f"has the key {id_[:20]!r}; keys are token ids")
        found[int(id_)] = bias
    return found


def _text(content: str | Sequence[Mapping[str, Any]] | None, place: str) -> str:
    """Of text, or of parts that are all text."""
    if content is None or isinstance(content, str):
        return content or ""
    if len(content) > _MOST_PARTS:
        raise InvalidRequest(place, f"has {len(content)} parts; {_MOST_PARTS} are allowed")
    texts: list[str] = []
    for number, part in enumerate(content):
        if part.get("type") != "text":
            kind = str(part.get("type"))[:40]
            raise InvalidRequest(f"{place}[{number}].type", f"is {kind!r}; this model takes text only")
        if not isinstance(part.get("text"), str):
            raise InvalidRequest(f"{place}[{number}].text", "must be a string")
        texts.append(part["text"])
    return "".join(texts)


def _call(call: ToolCall, place: str) -> dict[str, Any]:
    """As templates expect it: the arguments as data."""
    try:
        arguments = from_json(call.function.arguments or "{}")
    except ValueError as error:
        raise InvalidRequest(f"{place}.function.arguments", f"is not JSON: {error}") from error
    return {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}
