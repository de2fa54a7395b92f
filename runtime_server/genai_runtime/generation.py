"""Requests and events of a generation, as plain data that both processes share.

No protocol buffers, no ONNX Runtime, no behaviour beyond (de)serialising for the frames between the processes.
"""

from dataclasses import dataclass, field
from enum import StrEnum


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
    """How the next token is chosen. temperature 0 is greedy; top_k 0 and top_p 1 are off; seed None is random."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One generation as the engine sees it: validated token ids (0 <= id < vocabulary size, not empty)."""

    request_id: str
    prompt: list[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Tokens:
    """New tokens of one request, in order. The end-of-sequence token is not among them."""

    request_id: str
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a request. Counts are tokens; seconds are measured inside the engine process."""

    request_id: str
    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class WindowProgress:
    """What a profiling window has captured so far; the last one says `closed` and why.

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


EngineEvent = Tokens | Finished | WindowProgress
