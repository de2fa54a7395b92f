"""The runtime option cancel: a standing rule, and which requests it ends while it stands.

A request is looked at when it arrives, with each of its tokens, and at the moment when it becomes too old: nothing is
polled. How a request is ended, wherever it is, is `generating.py`'s.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.request_record import RequestRecord

_LONGEST_TEXT = 256
_LONGEST_AGE = 7 * 86_400.0
_log = structlog.get_logger("genai_runtime.options")


@dataclass(frozen=True, slots=True)
class CancelRule:
    """A request matches when it matches every field that is set; empty and 0 are not set."""

    request_id: str = ""
    client: str = ""
    older_than_seconds: float = 0.0
    tokens_over: int = 0

    def check(self) -> None:
        """Raises `InvalidRequest`; a rule that would match everything is refused as well."""
        for name, text in (("request_id", self.request_id), ("client", self.client)):
            if len(text) > _LONGEST_TEXT or not text.isprintable():
                raise _wrong(f".{name}", f"must be {_LONGEST_TEXT} printable characters at most")
        age = self.older_than_seconds
        if not (math.isfinite(age) and 0 <= age <= _LONGEST_AGE):
            raise _wrong(".older_than_seconds", f"is {age}; it must be above 0, and {_LONGEST_AGE:g} at most")
        if self == CancelRule():
            raise _wrong("", "has no field set: name a request id, a client, an age or a number of tokens")

    def matches(self, record: RequestRecord) -> bool:
        """Whether it ends this request now."""
        if record.age_seconds < self.older_than_seconds or not self._means(record):
            return False
        return not self.tokens_over or record.completion_tokens > self.tokens_over

    def seconds_to(self, record: RequestRecord) -> float:
        """How long until the request is old enough; infinite for one that the rule does not mean, or that is."""
        left = self.older_than_seconds - record.age_seconds
        return left if left > 0 and self._means(record) else math.inf

    def words(self) -> str:
        """For the last message of a request that it ended, in the annotation's form."""
        parts = [
            f"request-id={self.request_id}" if self.request_id else "",
            f"client={self.client}" if self.client else "",
            f"older-than={self.older_than_seconds:g}s" if self.older_than_seconds else "",
            f"tokens-over={self.tokens_over}" if self.tokens_over else "",
        ]
        return f"ended by the runtime option cancel: {','.join(part for part in parts if part)}"

    def _means(self, record: RequestRecord) -> bool:
        return self.request_id in ("", record.request_id) and self.client in ("", record.client)


class StandingRule:
    """Used from the event loop only. `count`: requests that the present rule has ended."""

    def __init__(
        self, records: Callable[[], Iterable[RequestRecord]], end: Callable[[RequestRecord, str], bool]
    ) -> None:
        """`records`: of the requests that have not ended. `end`: end one with these words; False: it is ending."""
        self.rule: CancelRule | None = None
        self.count = 0
        self._records = records
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def set(self, rule: CancelRule | None) -> None:
        """The same rule again changes nothing; another one counts anew."""
        if rule == self.rule:
            return
        self.rule, self.count = rule, 0
        self._look()

    def arrived(self, record: RequestRecord) -> None:
        """A request is held from now on."""
        self.look_at(record)
        if self._timer is None:
            self._arm()

    def look_at(self, record: RequestRecord) -> None:
        """End this request if it matches. With every piece of a stream, while a rule stands."""
        rule = self.rule
        if rule is not None and rule.matches(record) and self._end(record, rule.words()):
            self.count += 1
            _log.info("request cancelled", request_id=record.request_id, client=record.client, rule=rule.words())

    def stop(self) -> None:
        """Watch no ages any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """At all requests, and again when the next one becomes too old."""
        self.stop()
        for record in list(self._records()):
            self.look_at(record)
        self._arm()

    def _arm(self) -> None:
        if self.rule is None:
            return
        wait = min(map(self.rule.seconds_to, self._records()), default=math.inf)
        if not math.isinf(wait):
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)


def _wrong(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"options.cancel{field}", message)
