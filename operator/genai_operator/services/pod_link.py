"""One pod as the control channel has it: what goes on with it, and what it last answered.

No calls, and nothing is decided: `live_options.py` and `option_reviews.py` call and write here.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from genai_operator.clients.option_messages import OptionsReply, RecordingReply
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.status.observed import AdapterAnswer, PodAnswer, PodOptionsState, Recording
from genai_operator.status.retries import retry_after

log = structlog.get_logger(__name__)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# A container, and the revision of the options meant for it.
Target = tuple[str, str]


@dataclass(slots=True)
class PodLink:
    """What is going on with one pod. Times are the event loop's."""

    endpoint: PodEndpoint
    answer: PodAnswer | None = None
    task: asyncio.Task[None] | None = None
    target: Target = ("", "")  # of the task, or of the last failure
    failures: int = 0
    failing_since: float = 0.0
    not_before: float = 0.0
    review: asyncio.TimerHandle | None = None
    reviewing: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being sent or asked."""
        return self.task is not None and not self.task.done()

    def busy_with(self, target: Target) -> bool:
        """Whether this very thing is under way."""
        return self.busy and self.target == target

    def aim(self, target: Target) -> None:
        """Begins something; another thing than before begins without failures."""
        if self.task:
            self.task.cancel()
        if self.target != target:
            self.target, self.failures = target, 0

    def failed(self, now: float, jitter: float) -> None:
        """It did not answer: sets when it is asked again."""
        if self.failures == 0:
            self.failing_since = now
        self.failures += 1
        self.not_before = now + retry_after(self.failures, now - self.failing_since, jitter)

    def rest(self, target: Target, now: float) -> float:
        """Seconds to wait before this is tried again; 0 when it did not fail, or its time has come."""
        return max(0.0, self.not_before - now) if self.target == target and self.failures else 0.0

    def record(self, answer: PodAnswer) -> None:
        """Keeps the answer; what it does not say of the same container stays as it was."""
        before = self.answer
        if before is None or before.container_id != answer.container_id:
            self.answer = answer
            return
        kept = replace(answer, served=before.served, recording=answer.recording or before.recording)
        if (before.revision, before.state) == (answer.revision, answer.state):
            kept = replace(kept, at=before.at)
            if answer.state is PodOptionsState.UNREACHABLE:
                # The first words of a failure stay: the next attempt's may differ in wording, and that is no change.
                kept = replace(kept, message=before.message)
        self.answer = kept

    def end(self) -> None:
        """Stops everything that is under way."""
        for each in (self.task, self.review, self.reviewing):
            if each:
                each.cancel()


def acknowledged(reply: OptionsReply, target: Target, now: datetime) -> PodAnswer:
    """The answer of a pod that has the options: all of them, or all that its engine can apply."""
    missing = tuple(sorted(reply.unsupported))
    refused = [each for each in reply.adapters if each.state == "Rejected"]
    problems = [f"the engine cannot apply {', '.join(missing)}"] if missing else []
    problems += [f"adapter {each.name} is rejected: {each.message}" for each in refused]
    return PodAnswer(
        container_id=target[0],
        revision=target[1],
        state=PodOptionsState.UNSUPPORTED if problems else PodOptionsState.APPLIED,
        message="; ".join(problems),
        at=now.strftime(TIME_FORMAT),
        unsupported=missing,
        requests=reply.requests,
        cancelled_requests=reply.cancelled_requests,
        recording=_recording(reply.recording),
        adapters=tuple(AdapterAnswer(each.name, each.state, each.message) for each in reply.adapters),
    )


def _recording(reply: RecordingReply | None) -> Recording | None:
    if reply is None:
        return None
    opened = datetime.fromtimestamp(reply.opened_unix_ms / 1000, UTC)
    return Recording(reply.profile_id, reply.trigger, opened.strftime(TIME_FORMAT))


def log_bug(task: asyncio.Task[None]) -> None:
    """For a task that nobody waits for."""
    error = None if task.cancelled() else task.exception()
    if error:
        log.error("a control call ended unexpectedly", exc_info=error)
