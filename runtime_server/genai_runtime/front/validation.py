"""What a request may hold. Everything here is decided before a request waits or takes an engine slot.

Plain data in and out: protocols translate to `Call` and from `InvalidRequest`. What crashes or poisons an engine
(ids outside the vocabulary, a prompt of padding alone) is refused here.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest, ModelNotFound
from genai_runtime.front.chat import ROLES, Message
from genai_runtime.front.tokenizer import check_characters
from genai_runtime.generation import Guidance, Sampling

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_MESSAGES = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller asked for; None takes the model's default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    min_tokens: int | None = None
    ignore_eos: bool = False
    n: int = 1
    logprobs: int | None = None  # alternatives a token; None: no log-probabilities
    guidance: Guidance | None = None
    adapter: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a protocol hands it over: exactly one of `text`, `ids` and `messages` is set."""

    request_id: str = ""
    model: str = ""
    text: str | None = None
    ids: Sequence[int] | None = None
    messages: Sequence[Message] | None = None
    options: Options = field(default_factory=Options)
    deadline: float | None = None  # on the event loop's clock
    client: str = ""  # whose request it is, for fairness: the API key's name, or the peer's address without its port
    tools: Sequence[Mapping[str, Any]] = ()  # for the chat template
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    trace_parent: str = ""  # W3C trace context, as the caller's protocol carried it
    trace_state: str = ""
    fresh: bool = False  # the server's own: the prompt is computed whole, so that it can be timed


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's own defaults and bounds, from settings and genai_config.json."""

    default_max_tokens: int = 512
    limit_max_tokens: int = 0  # 0: bounded by the sequence length alone
    limit_prompt_tokens: int = 0  # the same
    sampling: Sampling = field(default_factory=Sampling)
    limit_guidance_bytes: int | None = None  # None: as `guidance_checks.py` has it

    def at_most(self, tokens: int) -> int:
        """So many new tokens, or the limit where that is less."""
        return min(tokens, self.limit_max_tokens) if self.limit_max_tokens else tokens


def check_model(requested: str, served: str) -> None:
    """Raises `ModelNotFound` unless the request names no model or this one."""
    if requested and requested != served:
        raise ModelNotFound(f"model {requested[:100]!r} is not served here; this server serves {served!r}")


def resolve_adapter(model: str, adapter: str, served: str, adapters: Sequence[str]) -> str:
    """The LoRA adapter that a request means, "" for none: named as such, or in the place of the model's name.

    Raises `ModelNotFound` for a name that is neither the model's nor an adapter's.
    """
    if model not in adapters or model == served:
        check_model(model, served)
        if adapter and adapter not in adapters:
            known = ", ".join(map(repr, adapters)) or "no adapters"
            raise ModelNotFound(f"adapter {adapter[:100]!r} is not served here; {served!r} has {known}")
        return adapter
    if adapter and adapter != model:
        raise InvalidRequest("options.adapter", f"is {adapter[:100]!r}, but the model asked for is adapter {model!r}")
    return model


def check_choices(choices: int, limit: int) -> int:
    """How many answers one request may ask for; each takes a slot."""
    if not 1 <= choices <= limit:
        raise InvalidRequest(
            "options.n",
            f"is {choices}; it must be 1 to {limit}, this server's limit (generation.choicesLimit, and no more than it "
            "generates at once): send several requests",
        )
    return choices


def check_request_id(request_id: str) -> str:
    """The id itself, or a new one for an empty one."""
    if not request_id:
        return secrets.token_hex(8)
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidRequest("request_id", "must be 1 to 64 letters, digits, '-', '_' or '.'")
    return request_id


def check_input(call: Call) -> None:
    """What can be said of the input without a tokenizer."""
    if call.messages is not None:
        _check_messages(call.messages)
    elif call.text is None and call.ids is None:
        raise InvalidRequest("input", "is missing; set prompt or token_ids")
    elif call.text == "":
        raise InvalidRequest("prompt", "is empty; a generation continues at least one token")
    elif call.text is not None:
        check_characters("prompt", call.text)


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise InvalidRequest("messages", "is empty; a conversation has at least one message")
    if len(messages) > _MAX_MESSAGES:
        raise InvalidRequest("messages", f"has {len(messages)} entries; {_MAX_MESSAGES} are allowed")
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            allowed = ", ".join(repr(role) for role in ROLES)
            raise InvalidRequest(f"messages[{index}].role", f"is {message.role[:40]!r}; it must be one of {allowed}")
        check_characters(f"messages[{index}].content", message.content)


def check_text_length(name: str, length: int, longest_token: int, info: ModelInfo) -> None:
    """Refuses a text that cannot fit before it is tokenized. `length` is in characters."""
    limit = 2 * longest_token * info.max_sequence_length
    if length > limit:
        raise InvalidRequest(
            name,
            f"has {length} characters, more than fit into the maximum sequence length of "
            f"{info.max_sequence_length} tokens",
        )


def check_prompt(name: str, prompt: Sequence[int], limits: Limits, info: ModelInfo) -> None:
    """`prompt` are the ids as the engine would see them."""
    if not prompt:
        raise InvalidRequest(name, "has no tokens; a generation continues at least one token")
    if len(prompt) >= info.max_sequence_length:
        raise InvalidRequest(
            name,
            f"has {len(prompt)} tokens, which leaves no room for an answer within the maximum sequence length of "
            f"{info.max_sequence_length} tokens",
        )
    if 0 < limits.limit_prompt_tokens < len(prompt):
        raise InvalidRequest(
            name,
            f"has {len(prompt)} tokens; this server takes {limits.limit_prompt_tokens} at most "
            "(generation.promptTokensLimit): shorten it",
        )
    check_ids(name, prompt, info)
    if all(id_ == info.pad_token_id for id_ in prompt):
        raise InvalidRequest(name, f"holds nothing but padding (token id {info.pad_token_id})")


def check_ids(name: str, ids: Sequence[int], info: ModelInfo) -> None:
    """Refuses ids that the model does not have, which would crash or poison an engine."""
    wrong = next((id_ for id_ in ids if not 0 <= id_ < info.vocabulary_size), None)
    if wrong is not None:
        raise InvalidRequest(name, f"holds id {wrong}; this model's ids are 0 to {info.vocabulary_size - 1}")


def resolve_max_tokens(requested: int | None, prompt_tokens: int, limits: Limits, info: ModelInfo) -> int:
    """New tokens at most: what was asked for or the default, and no more than there is room for in the sequence."""
    if requested is not None and requested < 1:
        raise InvalidRequest("options.max_tokens", f"is {requested}; it must be 1 or more")
    if requested is not None and requested > limits.at_most(requested):
        raise InvalidRequest(
            "options.max_tokens",
            f"is {requested}; this server generates {limits.limit_max_tokens} at most for one answer "
            "(generation.maxTokensLimit): ask for fewer",
        )
    wanted = limits.at_most(limits.default_max_tokens) if requested is None else requested
    return min(wanted, info.max_sequence_length - prompt_tokens)
