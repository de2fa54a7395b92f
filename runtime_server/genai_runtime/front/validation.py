"""What a request may hold. Everything here is decided before a request waits or takes an engine slot.

Plain data in and out: protocols translate to `Call` and from `InvalidRequest`. What crashes or poisons an engine
(ids outside the vocabulary, a prompt of padding alone) is refused here.
"""

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest, ModelNotFound
from genai_runtime.front.chat import ROLES, Message
from genai_runtime.generation import Sampling

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_MESSAGES = 4096
# Below this a distribution is its maximum for any practical purpose, and its logits overflow.
_COLDEST = 1e-3


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller asked for; None takes the model's default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None


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


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's own defaults and bounds, from settings and genai_config.json."""

    default_max_tokens: int = 512
    limit_max_tokens: int = 0  # 0: bounded by the sequence length alone
    sampling: Sampling = field(default_factory=Sampling)


def check_model(requested: str, served: str) -> None:
    """Raises `ModelNotFound` unless the request names no model or this one."""
    if requested and requested != served:
        raise ModelNotFound(f"model {requested[:100]!r} is not served here; this server serves {served!r}")


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


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise InvalidRequest("messages", "is empty; a conversation has at least one message")
    if len(messages) > _MAX_MESSAGES:
        raise InvalidRequest("messages", f"has {len(messages)} entries; {_MAX_MESSAGES} are allowed")
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            allowed = ", ".join(repr(role) for role in ROLES)
            raise InvalidRequest(f"messages[{index}].role", f"is {message.role[:40]!r}; it must be one of {allowed}")


def check_text_length(name: str, length: int, longest_token: int, info: ModelInfo) -> None:
    """Refuses a text that cannot fit before it is tokenized. `length` is in characters."""
    limit = 2 * longest_token * info.max_sequence_length
    if length > limit:
        raise InvalidRequest(
            name,
            f"has {length} characters, more than fit into the maximum sequence length of "
            f"{info.max_sequence_length} tokens",
        )


def check_prompt(name: str, prompt: Sequence[int], info: ModelInfo) -> None:
    """`prompt` are the ids as the engine would see them."""
    if not prompt:
        raise InvalidRequest(name, "has no tokens; a generation continues at least one token")
    if len(prompt) >= info.max_sequence_length:
        raise InvalidRequest(
            name,
            f"has {len(prompt)} tokens, which leaves no room for an answer within the maximum sequence length of "
            f"{info.max_sequence_length} tokens",
        )
    wrong = next((id_ for id_ in prompt if not 0 <= id_ < info.vocabulary_size), None)
    if wrong is not None:
        raise InvalidRequest(name, f"holds id {wrong}; this model's ids are 0 to {info.vocabulary_size - 1}")
    if all(id_ == info.pad_token_id for id_ in prompt):
        raise InvalidRequest(name, f"holds nothing but padding (token id {info.pad_token_id})")


def resolve_max_tokens(requested: int | None, prompt_tokens: int, limits: Limits, info: ModelInfo) -> int:
    """New tokens at most, bounded by the server's limit and by the room left in the sequence."""
    if requested is not None and requested < 1:
        raise InvalidRequest("options.max_tokens", f"is {requested}; it must be 1 or more")
    wanted = limits.default_max_tokens if requested is None else requested
    bounds = [wanted, info.max_sequence_length - prompt_tokens]
    return min([*bounds, limits.limit_max_tokens] if limits.limit_max_tokens else bounds)


def resolve_sampling(options: Options, limits: Limits, info: ModelInfo) -> Sampling:
    """The caller's options over the defaults, each in its range."""
    default = limits.sampling
    if options.top_k is not None and not 0 <= options.top_k <= info.vocabulary_size:
        raise InvalidRequest(
            "options.top_k", f"is {options.top_k}; it must be 0 (off) to {info.vocabulary_size}, the vocabulary's size"
        )
    temperature = _number("temperature", options.temperature, default.temperature, "0 to 2")
    return Sampling(
        temperature=temperature if temperature >= _COLDEST else 0.0,
        top_k=min(default.top_k, info.vocabulary_size) if options.top_k is None else options.top_k,
        top_p=_number("top_p", options.top_p, default.top_p, "above 0, to 1"),
        repetition_penalty=_number(
            "repetition_penalty", options.repetition_penalty, default.repetition_penalty, "above 0, to 2"
        ),
        seed=options.seed,
    )


_RANGES = {"0 to 2": (True, 0.0, 2.0), "above 0, to 1": (False, 0.0, 1.0), "above 0, to 2": (False, 0.0, 2.0)}


def _number(name: str, value: float | None, default: float, allowed: str) -> float:
    if value is None:
        return default
    closed, low, high = _RANGES[allowed]
    if math.isnan(value) or value > high or value < low or (value == low and not closed):
        raise InvalidRequest(f"options.{name}", f"is {value:g}; it must be {allowed}")
    return value
