"""Looks now and then whether pods still have what they acknowledged, and how far a drain or a cancel rule has come.

A pod can lose its options without an event in the cluster: a window that was asked for while the model loaded cannot be
opened, or somebody sets other options inside the pod. Only reads pods; sending again is `live_options.py`'s, in the
pass that is asked for. While nothing changed, a review asks for none.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from genai_operator.api.runtime_options import RuntimeOptions
from genai_operator.clients.runtime import RuntimeClient
from genai_operator.errors import PodError
from genai_operator.services.pod_link import PodLink, acknowledged, log_bug
from genai_operator.status.observed import PodAnswer, PodOptionsState

log = structlog.get_logger(__name__)

# Asks for a pass over a model in so many seconds.
Wake = Callable[[str, float], None]

_DRAIN_SECONDS = 2.0  # while requests remain
_RULE_SECONDS = 10.0
_AT_ONCE = 16
# Of pods that are asked that often, several are told in one write.
_GATHER_SECONDS = 0.5
_REVIEWED = (PodOptionsState.APPLIED, PodOptionsState.UNSUPPORTED)


class OptionReviews:
    """One timer a pod. `seconds`: how often a pod is asked of which nothing is awaited."""

    def __init__(
        self,
        runtime: RuntimeClient,
        *,
        seconds: float,
        deadline_seconds: float,
        wake: Wake,
        clock: Callable[[], datetime],
    ) -> None:
        self._runtime = runtime
        self._seconds = seconds
        self._deadline = deadline_seconds
        # Their own: pods that are silent must not keep others from being told something.
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._wake = wake
        self._clock = clock

    def plan(self, key: str, link: PodLink, options: RuntimeOptions, *, soon: bool = False) -> None:
        """Sets the pod's next review, at once if `soon`, else as what is awaited of these options asks for."""
        if link.review:
            link.review.cancel()
        seconds = 0.0 if soon else self._pause(link.answer, options)
        loop = asyncio.get_running_loop()
        link.review = loop.call_later(seconds, self._begin, key, link, options)

    def _pause(self, answer: PodAnswer | None, options: RuntimeOptions) -> float:
        seconds = self._seconds
        if options.cancel:
            seconds = min(seconds, _RULE_SECONDS)
        if options.drain_seconds and answer and answer.requests:
            seconds = min(seconds, _DRAIN_SECONDS)
        if answer and any(each.state in ("Fetching", "Loading", "Unloading") for each in answer.adapters):
            seconds = min(seconds, _DRAIN_SECONDS)
        return seconds * (0.75 + 0.5 * random.random())

    def _begin(self, key: str, link: PodLink, options: RuntimeOptions) -> None:
        link.review = None
        link.reviewing = asyncio.create_task(self._review(key, link, options), name="options review")
        link.reviewing.add_done_callback(log_bug)

    async def _review(self, key: str, link: PodLink, options: RuntimeOptions) -> None:
        before = link.answer
        if link.busy or before is None or before.state not in _REVIEWED:
            return  # what is under way plans the next review when it has ended well
        try:
            async with self._limit:
                reply = await self._runtime.get_options(link.endpoint, deadline_seconds=self._deadline)
        except PodError as error:
            # It acknowledged them: that it is silent now is told by its readiness.
            log.info("pod does not say what options it has", model=key, error=str(error))
        else:
            if link.busy or link.answer is not before:
                return
            if reply.revision != before.revision:
                log.warning("pod has other options", model=key, pod=link.endpoint.ip, revision=reply.revision)
                # No revision is the empty one: the pod counts as one that was never told.
                link.answer = replace(before, revision="")
                self._wake(key, 0.0)
                return
            link.record(acknowledged(reply, (before.container_id, before.revision), self._clock()))
            if link.answer != before:
                self._wake(key, _GATHER_SECONDS)
        self.plan(key, link, options)
