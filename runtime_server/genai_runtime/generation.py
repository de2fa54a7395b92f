"""Requests and events of a generation, as plain data that both processes share.

No protocol buffers, no ONNX Runtime, no behaviour beyond (de)serialising for the frames between the processes.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class FinishReason(StrEnum):
    """Why a generation ended; the protocols' enums mirror these names."""

    STOP = "stop"
    LENGTH = "length"
    TERMINATED = "terminated"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. temperature 0 is greedy; seed None is random.

    Off: top_k 0, top_p 1, min_p 0, repetition_penalty 1, the other penalties 0. The repetition penalty (Hugging Face's:
    positive logits divided, others multiplied) counts prompt and output; presence and frequency (OpenAI's: subtracted)
    count the output alone. `logit_bias` is added first, by token id.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the output must match: a JSON schema, a regular expression, a Lark grammar, or any JSON object ("")."""

    kind: Literal["json_schema", "regex", "lark", "json_object"]
    source: str = ""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One generation as the engine sees it: validated token ids (0 <= id < vocabulary size, not empty).

    An end-of-sequence token or one of `stop_token_ids` ends it with STOP and is not given out; before `min_tokens` they
    are not chosen at all. `logprobs`: how many alternatives a token (0: its own alone), -1 for none at all. `adapter`
    names a LoRA adapter of the model, "" is none. A higher `priority` is served first. Which of these an engine can do
    is in `ModelInfo.features`; the front refuses the rest. `client` (an API key's name, or the peer's address) and
    `choice_of` (the request of which this is a further choice, "" for the first) are for windows that choose by them.
    `fresh`: the prompt is computed whole, whatever is kept of others, and nothing of it is kept.
    """

    request_id: str
    prompt: list[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop_token_ids: list[int] = field(default_factory=list)
    min_tokens: int = 0
    ignore_eos: bool = False
    logprobs: int = -1
    guidance: Guidance | None = None
    adapter: str = ""
    priority: int = 0
    client: str = ""
    choice_of: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithms of probabilities under the model's own distribution, before any sampling option."""

    id: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)  # one is made for each step of each stream, and making a frozen one takes four times as long
class Tokens:
    """New tokens of one request, in order, without the one that ended it. `logprobs`: one a token, or none."""

    request_id: str
    ids: list[int]
    logprobs: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a request. Counts are tokens; seconds are measured inside the engine process.

    `cached_tokens` of the prompt were not computed anew; `stop_token_id` ended it, -1 for another end.
    `invalid_field`, with ERROR: what of the request itself cannot be served, as a grammar that does not compile.
    """

    request_id: str
    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    message: str = ""
    cached_tokens: int = 0
    stop_token_id: int = -1
    invalid_field: str = ""


@dataclass(frozen=True, slots=True)
class WindowProgress:
    """What a profiling window has captured so far; the last one says `closed` and why.

    `skipped_runs` were not chosen by its selection. `overhead_percent`: how much slower tokens came inside it;
    None where too few came to say so.

    The raw files lie in the window's own folder; merging them into one trace is not the engine's work.
    """

    window_id: str
    runs: int
    requests: int
    captured_bytes: int
    dropped_runs: int
    closed: bool = False
    close_reason: str = ""
    message: str = ""
    skipped_runs: int = 0
    overhead_percent: float | None = None


EngineEvent = Tokens | Finished | WindowProgress
