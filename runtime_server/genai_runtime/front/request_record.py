"""What is measured of one request: for its Finish, its metrics and its one log line. Never its text."""

import time
from dataclasses import dataclass, field

import structlog

from genai_runtime.front.metrics import Metrics
from genai_runtime.generation import FinishReason

_log = structlog.get_logger("genai_runtime.request")


@dataclass(slots=True)
class RequestRecord:
    """Seconds on the monotonic clock, from the request's arrival."""

    method: str
    metrics: Metrics
    request_id: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    queue_seconds: float = 0.0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    _arrived: float = field(default_factory=time.monotonic)
    _last_token: float = 0.0
    _closed: bool = False

    def admitted(self, queue_seconds: float) -> None:
        """The request holds a slot."""
        self.queue_seconds = queue_seconds
        self.metrics.queue_seconds.observe(queue_seconds)
        self.metrics.prompt_tokens.inc(self.prompt_tokens)

    def tokens(self, count: int) -> None:
        """`count` new tokens are here."""
        if not count:
            return
        now = time.monotonic()
        if not self.completion_tokens:
            self.first_token_seconds = now - self._arrived
            self.metrics.first_token_seconds.observe(self.first_token_seconds)
        else:
            for _ in range(count):
                self.metrics.inter_token_seconds.observe((now - self._last_token) / count)
        self._last_token = now
        self.completion_tokens += count
        self.metrics.generated_tokens.inc(count)

    @property
    def tokens_per_second(self) -> float:
        """Of the tokens after the first, which belongs to the prefill; 0 for fewer than two."""
        seconds = self._last_token - self._arrived - self.first_token_seconds
        return (self.completion_tokens - 1) / seconds if self.completion_tokens > 1 and seconds > 0 else 0.0

    def finished(self, reason: FinishReason) -> None:
        """The accepted request ended; later calls count for nothing."""
        if self._close(reason.value):
            self.metrics.request_seconds.observe(self.total_seconds)

    def refused(self, reason: str) -> None:
        """The request ended before the engine saw it; `reason` is one of metrics.REFUSALS."""
        self._close(reason)

    def _close(self, reason: str) -> bool:
        if self._closed:
            return False
        self._closed = True
        self.total_seconds = time.monotonic() - self._arrived
        self.metrics.requests.labels(self.method, reason).inc()
        _log.info(
            "request",
            request_id=self.request_id,
            method=self.method,
            finish=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            queue_seconds=round(self.queue_seconds, 6),
            first_token_seconds=round(self.first_token_seconds, 6),
            total_seconds=round(self.total_seconds, 6),
        )
        return True
