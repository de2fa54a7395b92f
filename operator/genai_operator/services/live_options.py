"""Takes the desired runtime options to live pods, and keeps each pod's answer.

Every pod has its own task, so one that hangs delays no other and no pass. Which pods need which options is decided by
`status.live_plan`; what the answers mean for the model, by `status`.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from genai_operator.api.runtime_options import DesiredOptions
from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_operator.errors import PodError, PodRejected
from genai_operator.services.queue import back_off
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import ObservedPod, PodAnswer, PodOptionsState, ServedModel

log = structlog.get_logger(__name__)

_FIRST_RETRY = 0.5
_LAST_RETRY = 30.0

# Asks for a pass over a model in so many seconds.
Wake = Callable[[str, float], None]


@dataclass(slots=True)
class _Link:
    """What is going on with one pod."""

    endpoint: PodEndpoint
    answer: PodAnswer | None = None
    task: asyncio.Task[None] | None = None
    target: tuple[str, str] = ("", "")  # (container, revision) of the task, or of the last failure
    failures: int = 0
    not_before: float = 0.0

    def busy_with(self, target: tuple[str, str]) -> bool:
        return self.task is not None and not self.task.done() and self.target == target


class LiveOptions:
    """The operator's side of the control channel, for all models."""

    def __init__(
        self,
        runtime: RuntimeClient,
        settings: OperatorSettings,
        *,
        wake: Wake,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._runtime = runtime
        self._deadline = settings.push_deadline_seconds
        self._limit = asyncio.Semaphore(settings.push_parallel)
        self.wake = wake
        self._clock = clock
        self._links: dict[str, dict[str, _Link]] = {}

    def answers(self, key: str) -> dict[str, PodAnswer]:
        """The last answer of each of the model's pods, by the pod's uid."""
        return {uid: link.answer for uid, link in self._links.get(key, {}).items() if link.answer}

    def push(
        self, key: str, server_name: str, desired: DesiredOptions, pods: Iterable[ObservedPod]
    ) -> list[asyncio.Task[None]]:
        """Starts sending the options to these pods, at once; returns the tasks, which never raise.

        A task that is under way with older options is dropped; a pod that failed is left alone until its time comes.
        """
        started = []
        for pod in pods:
            link = self._link(key, server_name, pod)
            target = (pod.container_id, desired.revision)
            if link.busy_with(target) or self._resting(key, link, target):
                continue
            if link.answer is None or (link.answer.container_id, link.answer.revision) != target:
                # Now it is not known what the pod has: its earlier answer must not count if those options return.
                self._answer(link, pod, desired.revision, PodOptionsState.PENDING, "being sent")
            started.append(self._start(link, target, self._send(key, link, pod, desired)))
        return started

    def inquire(self, key: str, server_name: str, pods: Iterable[ObservedPod]) -> list[asyncio.Task[None]]:
        """Starts asking these pods what they serve, where it is not known yet."""
        started = []
        for pod in pods:
            link = self._link(key, server_name, pod)
            if link.answer is None or link.answer.container_id != pod.container_id or link.answer.served:
                continue
            target = (pod.container_id, link.answer.revision)
            if (link.task and not link.task.done()) or self._resting(key, link, target):
                continue
            started.append(self._start(link, target, self._ask(key, link)))
        return started

    async def keep_only(self, key: str, pods: Iterable[ObservedPod]) -> None:
        """Forgets the model's other pods; their channels are closed."""
        present = {pod.uid for pod in pods}
        links = self._links.get(key, {})
        for uid in [uid for uid in links if uid not in present]:
            link = links.pop(uid)
            if link.task:
                link.task.cancel()
            await self._runtime.forget(link.endpoint)
        if not links:
            self._links.pop(key, None)

    async def close(self) -> None:
        """Ends everything that is under way."""
        for key in list(self._links):
            await self.keep_only(key, ())

    def _link(self, key: str, server_name: str, pod: ObservedPod) -> _Link:
        links = self._links.setdefault(key, {})
        endpoint = PodEndpoint(pod.ip, server_name)
        link = links.get(pod.uid)
        if link is None:
            link = links[pod.uid] = _Link(endpoint)
        link.endpoint = endpoint
        return link

    def _resting(self, key: str, link: _Link, target: tuple[str, str]) -> bool:
        """Whether the pod failed with this very thing and its next attempt is not due; then a pass is asked for."""
        remaining = link.not_before - asyncio.get_running_loop().time()
        if link.target != target or link.failures == 0 or remaining <= 0:
            return False
        self.wake(key, remaining)
        return True

    def _start(self, link: _Link, target: tuple[str, str], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if link.task:
            link.task.cancel()
        if link.target != target:
            link.target, link.failures = target, 0
        link.task = asyncio.create_task(work, name="control call")
        link.task.add_done_callback(_log_bug)
        return link.task

    async def _send(self, key: str, link: _Link, pod: ObservedPod, desired: DesiredOptions) -> None:
        async with self._limit:
            try:
                reply = await self._runtime.set_options(
                    link.endpoint, desired.revision, desired.options, deadline_seconds=self._deadline
                )
            except PodRejected as error:
                self._answer(link, pod, desired.revision, PodOptionsState.REJECTED, str(error))
            except PodError as error:
                self._answer(link, pod, desired.revision, PodOptionsState.UNREACHABLE, str(error))
                self._failed(link)
            else:
                link.failures = 0
                missing = ", ".join(sorted(reply.unsupported))
                state = PodOptionsState.UNSUPPORTED if missing else PodOptionsState.APPLIED
                message = f"the engine cannot apply {missing}" if missing else ""
                self._answer(link, pod, desired.revision, state, message)
        if link.answer:
            log.info("options sent", model=key, pod=pod.name, revision=desired.revision, state=link.answer.state.value)
        self.wake(key, 0.0)

    async def _ask(self, key: str, link: _Link) -> None:
        async with self._limit:
            try:
                reply = await self._runtime.get_model(link.endpoint, deadline_seconds=self._deadline)
            except PodError as error:
                log.info("pod does not say what it serves", model=key, error=str(error))
                self._failed(link)
            else:
                link.failures = 0
                served = ServedModel(**asdict(reply))
                if link.answer:
                    link.answer = replace(link.answer, served=served)
        self.wake(key, 0.0)

    def _failed(self, link: _Link) -> None:
        link.failures += 1
        delay = back_off(link.failures, random.random(), first=_FIRST_RETRY, last=_LAST_RETRY)
        link.not_before = asyncio.get_running_loop().time() + delay

    def _answer(self, link: _Link, pod: ObservedPod, revision: str, state: PodOptionsState, message: str) -> None:
        before = link.answer
        same_container = before is not None and before.container_id == pod.container_id
        if before and same_container and (before.revision, before.state) == (revision, state):
            # The first words of a failure stay: the next attempt's may differ in wording, and that is no change.
            return
        link.answer = PodAnswer(
            container_id=pod.container_id,
            revision=revision,
            state=state,
            message=message,
            at=self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            served=before.served if before and same_container else None,
        )


def _log_bug(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error:
        log.error("a control call ended unexpectedly", exc_info=error)
