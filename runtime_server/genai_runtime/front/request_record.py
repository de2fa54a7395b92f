"""What is measured of one request: for its Finish, its metrics, its traces and its one log line. Never its text."""

import time
from dataclasses import dataclass, field

import structlog

from genai_runtime.front.metrics import Metrics
from genai_runtime.generation import Finished, FinishReason, GenerationRequest
from genai_runtime.profiling.timeline import Timeline

_log = structlog.get_logger("genai_runtime.request")


@dataclass(slots=True)
class RequestRecord:
    """Seconds on the monotonic clock, from the request's arrival; tokens are of all its choices together."""

    method: str
    metrics: Metrics
    request_id: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    queue_seconds: float = 0.0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    client: str = ""
    choices: int = 1
    request: GenerationRequest | None = None  # the first choice's, once it is prepared
    cached_tokens: int = 0  # of the prompt, which the engine did not compute anew
    prefill_seconds: float = 0.0  # inside the engine; of the slowest choice
    decode_seconds: float = 0.0
    reason: str = ""  # how it ended: a FinishReason, or one of metrics.REFUSALS
    stage: str = "queued"  # queued, prefill, decode
    timeline: Timeline = field(default_factory=Timeline)  # of the profiling window that is open
    writing: int = 0  # since when, on the timeline; 0: nothing, or nobody records it
    _arrived: float = field(default_factory=time.monotonic)
    _came: int = 0  # its arrival on the timeline
    _prepared: int = 0  # since when it waits
    _last_token: float = 0.0
    _last_tokens: dict[int, float] = field(default_factory=dict)  # by choice

    def __post_init__(self) -> None:
        self._came = self.timeline.now()

    def prepared(self, request: GenerationRequest) -> None:
        """The request was found good, and its text is tokens now; it waits for its slots."""
        self.request, self.prompt_tokens = request, len(request.prompt)
        self._prepared = self.timeline.now()

    def admitted(self, queue_seconds: float) -> None:
        """The request holds its slots."""
        # Only now: a flood of requests that are refused would hide the others.
        if self._prepared:
            self.timeline.span("tokenise", self, self._came, {"tokens": self.prompt_tokens}, end_ns=self._prepared)
            self.timeline.span("queue", self, self._prepared)
        self.stage = "prefill"
        self.queue_seconds = queue_seconds
        self.metrics.queue_seconds.observe(queue_seconds)
        self.metrics.prompt_tokens.inc(self.prompt_tokens)

    def tokens(self, count: int, choice: int = 0) -> None:
        """`count` new tokens of one choice are here, which go to the client."""
        if not count:
            return
        now = time.monotonic()
        last = self._last_tokens.get(choice)
        if last is not None:
            self.metrics.inter_token_seconds.observe((now - last) / count, count)
        elif not self.completion_tokens:
            self.stage = "decode"
            self.first_token_seconds = now - self._arrived
            self.metrics.first_token_seconds.observe(self.first_token_seconds)
        self._last_tokens[choice] = self._last_token = now
        self.completion_tokens += count
        self.metrics.generated_tokens.inc(count)

    def detokenised(self, began: int) -> None:
        """Tokens became text, from `began` on the timeline to now; the protocol writes it now."""
        if self.timeline.recording:
            self.timeline.span("detokenise", self, began, each_token=True)
            self.writing = self.timeline.now()

    def written(self) -> None:
        """The network has taken what was to be written, if anything was, or the client is gone."""
        if self.writing:
            self.timeline.span("network write", self, self.writing, each_token=True)
            self.writing = 0

    def choice_finished(self, end: Finished) -> None:
        """What the engine says of one choice."""
        self.cached_tokens = max(self.cached_tokens, end.cached_tokens)
        self.prefill_seconds = max(self.prefill_seconds, end.prefill_seconds)
        self.decode_seconds = max(self.decode_seconds, end.decode_seconds)

    @property
    def adapter(self) -> str:
        """The LoRA adapter that the request uses; "" for none."""
        return self.request.adapter if self.request is not None else ""

    @property
    def age_seconds(self) -> float:
        """Since the arrival."""
        return time.monotonic() - self._arrived

    @property
    def tokens_per_second(self) -> float:
        """Of the tokens after the first, which belongs to the prefill; 0 for fewer than two.

        A busy front reads several of the engine's messages at once: the engine's own time is the least it can be.
        """
        seconds = max(self._last_token - self._arrived - self.first_token_seconds, self.decode_seconds)
        return (self.completion_tokens - 1) / seconds if self.completion_tokens > 1 and seconds > 0 else 0.0

    @property
    def seconds_per_token(self) -> float:
        """Mean time between two tokens of one choice, after the first; 0 for fewer than two."""
        return self.choices / self.tokens_per_second if self.tokens_per_second else 0.0

    def finished(self, reason: FinishReason) -> None:
        """The accepted request ended; later calls count for nothing."""
        if self._close(reason.value):
            self.metrics.show_finished(self, reason)

    def refused(self, reason: str) -> None:
        """The request ended before the engine saw it; `reason` is one of metrics.REFUSALS."""
        self._close(reason)

    def _close(self, reason: str) -> bool:
        if self.reason:
            return False
        self.reason = reason
        self.total_seconds = self.age_seconds
        self._show_end()
        self.metrics.requests.labels(self.method, reason).inc()
        _log.info(
            "request",
            request_id=self.request_id,
            method=self.method,
            client=self.client,
            finish=reason,
            choices=self.choices,
            adapter=self.adapter,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            queue_seconds=round(self.queue_seconds, 6),
            first_token_seconds=round(self.first_token_seconds, 6),
            tokens_per_second=round(self.tokens_per_second, 3),
            total_seconds=round(self.total_seconds, 6),
        )
        return True

    def _show_end(self) -> None:
        timeline = self.timeline
        if not timeline.recording:
            return
        if self.stage == "queued":
            timeline.request_refused(self.reason, self, {"seconds": round(self.total_seconds, 6)})
            return
        tokens = {
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
        }
        timeline.request_ended(self.reason, self, tokens)
