"""Takes the desired runtime options to live pods, and keeps each pod's answer.

Every pod has its own task, so one that hangs delays no other and no pass. Which pods need which options is decided by
`status.live_plan`; what the answers mean for the model, by `status`; whether pods keep what they have is looked at by
`option_reviews.py`.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from genai_operator.api.runtime_options import DesiredOptions, RuntimeOptions
from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_operator.errors import PodError, PodRejected
from genai_operator.services.option_reviews import OptionReviews, Wake
from genai_operator.services.pod_link import TIME_FORMAT, PodLink, Target, acknowledged, log_bug
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import ObservedPod, PodAnswer, PodOptionsState, ServedModel

log = structlog.get_logger(__name__)


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
        self._links: dict[str, dict[str, PodLink]] = {}
        self._reviews = OptionReviews(
            runtime,
            seconds=settings.review_seconds,
            deadline_seconds=self._deadline,
            wake=wake,
            clock=clock,
        )

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
                self._answer(link, target, PodOptionsState.PENDING, "being sent")
            started.append(self._start(link, target, self._send(key, link, pod, desired)))
        return started

    def inquire(
        self, key: str, server_name: str, options: RuntimeOptions, pods: Iterable[ObservedPod]
    ) -> list[asyncio.Task[None]]:
        """Starts asking these Ready pods what they serve, where it is not known yet."""
        started = []
        for pod in pods:
            link = self._link(key, server_name, pod)
            if link.answer is None or link.answer.container_id != pod.container_id or link.answer.served:
                continue
            target = (pod.container_id, link.answer.revision)
            if link.busy or self._resting(key, link, target):
                continue
            started.append(self._start(link, target, self._ask(key, link, options)))
        return started

    async def keep_only(self, key: str, pods: Iterable[ObservedPod]) -> None:
        """Forgets the model's other pods; their channels are closed."""
        present = {pod.uid for pod in pods}
        links = self._links.get(key, {})
        for uid in [uid for uid in links if uid not in present]:
            link = links.pop(uid)
            link.end()
            await self._runtime.forget(link.endpoint)
        if not links:
            self._links.pop(key, None)

    async def close(self) -> None:
        """Ends everything that is under way."""
        for key in list(self._links):
            await self.keep_only(key, ())

    def _link(self, key: str, server_name: str, pod: ObservedPod) -> PodLink:
        links = self._links.setdefault(key, {})
        endpoint = PodEndpoint(pod.ip, server_name)
        link = links.get(pod.uid)
        if link is None:
            link = links[pod.uid] = PodLink(endpoint)
        link.endpoint = endpoint
        return link

    def _resting(self, key: str, link: PodLink, target: Target) -> bool:
        """Whether the pod failed with this very thing and its next attempt is not due; then a pass is asked for."""
        remaining = link.rest(target, asyncio.get_running_loop().time())
        if remaining:
            self.wake(key, remaining)
        return remaining > 0

    def _start(self, link: PodLink, target: Target, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        link.aim(target)
        link.task = asyncio.create_task(work, name="control call")
        link.task.add_done_callback(log_bug)
        return link.task

    async def _send(self, key: str, link: PodLink, pod: ObservedPod, desired: DesiredOptions) -> None:
        target = (pod.container_id, desired.revision)
        async with self._limit:
            try:
                reply = await self._runtime.set_options(
                    link.endpoint, desired.revision, desired.options, deadline_seconds=self._deadline
                )
            except PodRejected as error:
                self._answer(link, target, PodOptionsState.REJECTED, str(error))
            except PodError as error:
                self._answer(link, target, PodOptionsState.UNREACHABLE, str(error))
                self._failed(link)
            else:
                link.failures = 0
                link.record(acknowledged(reply, target, self._clock()))
        if link.answer:
            log.info("options sent", model=key, pod=pod.name, revision=desired.revision, state=link.answer.state.value)
        link.task = None
        self._reviews.plan(key, link, desired.options)
        self.wake(key, 0.0)

    async def _ask(self, key: str, link: PodLink, options: RuntimeOptions) -> None:
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
        link.task = None
        # It has just begun to serve: what it was told while it loaded is done now, or could not be.
        self._reviews.plan(key, link, options, soon=True)
        self.wake(key, 0.0)

    def _failed(self, link: PodLink) -> None:
        link.failed(asyncio.get_running_loop().time(), random.random())

    def _answer(self, link: PodLink, target: Target, state: PodOptionsState, message: str) -> None:
        at = self._clock().strftime(TIME_FORMAT)
        link.record(PodAnswer(target[0], target[1], state, message, at))
