"""Opens, closes and asks for profiling windows on pods, as planned, and remembers what it must to close them later.

Which call which pod gets is decided by `status.profile_plan`; what the answers mean, by `status.profile_windows`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic

import structlog

from genai_operator.api.genaiprofile import GenAIProfile, window_id
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.clients.windows import WindowClient, WindowReply
from genai_operator.errors import PodError, PodRejected
from genai_operator.settings import OperatorSettings
from genai_operator.status.profile_observed import OperatorUse, Trouble, WindowAnswer, WindowReport
from genai_operator.status.profile_plan import Action, Step

log = structlog.get_logger(__name__)

_TROUBLES = {
    "FAILED_PRECONDITION": Trouble.BUSY,
    "NOT_FOUND": Trouble.UNKNOWN,
    "UNIMPLEMENTED": Trouble.UNSUPPORTED,
}
_CLOSE_ATTEMPTS = 5
# Looking for what deleted profiles left must not delay the windows of those there are.
_ORPHAN_CALLS = 8


@dataclass(slots=True)
class _Known:
    """What this process knows of one profile's windows, by the pods' uids."""

    uid: str
    open: dict[str, PodEndpoint] = field(default_factory=dict)
    reports: dict[str, WindowReport] = field(default_factory=dict)  # of finished windows
    heard: dict[str, float] = field(default_factory=dict)  # when a pod last answered
    attempts: int = 0


class LiveWindows:
    """The operator's side of all profiles' windows. `server_name` of a call is in the pods' certificates."""

    def __init__(
        self, client: WindowClient, settings: OperatorSettings, clock: Callable[[], float] = monotonic
    ) -> None:
        self._client = client
        self._deadline = settings.push_deadline_seconds
        self._limit = asyncio.Semaphore(settings.push_parallel)
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def reports(self, key: str) -> dict[str, WindowReport]:
        """Of the profile's finished windows, by the pods' uids."""
        known = self._known.get(key)
        return dict(known.reports) if known else {}

    async def take(
        self, key: str, profile: GenAIProfile, server_name: str, steps: Sequence[Step]
    ) -> list[WindowAnswer | None]:
        """Makes the calls that are due, at the same time; an answer for each step that has one."""
        known = self._known.get(key)
        if known is not None and known.uid != profile.metadata.uid:
            await self.close(key)  # a profile of that name was deleted, and this is another one
            known = None
        if known is None:
            known = self._known[key] = _Known(profile.metadata.uid)
        return await asyncio.gather(*(self._step(known, profile, server_name, step) for step in steps))

    async def close(self, key: str) -> bool:
        """Closes what is open for a profile that is gone; whether another attempt is worth it."""
        known = self._known.get(key)
        if known is None:
            return False
        calls = [self._close(known, uid, endpoint) for uid, endpoint in known.open.items()]
        await asyncio.gather(*calls)
        known.attempts += 1
        if known.open and known.attempts < _CLOSE_ATTEMPTS:
            return True
        self.forget(key)
        return False

    def forget(self, key: str) -> None:
        """Drops what is remembered of a profile that has ended."""
        self._known.pop(key, None)

    async def close_orphans(self, pods: Iterable[PodEndpoint], profiles: Callable[[], set[str]]) -> None:
        """Closes windows of profiles that are gone: deleted while no operator ran. `profiles`: uids of those there are.

        The caps would end them as well; a pod that does not answer is left to them.
        """
        limit = asyncio.Semaphore(_ORPHAN_CALLS)
        await asyncio.gather(*(self._close_orphans(pod, profiles, limit) for pod in pods))

    async def _step(self, known: _Known, profile: GenAIProfile, server_name: str, step: Step) -> WindowAnswer | None:
        if step.pod is None or step.action is Action.NONE:
            return None
        uid, endpoint = step.pod.uid, PodEndpoint(step.pod.ip, server_name)
        calls: dict[Action, Callable[[], Awaitable[WindowReply]]] = {
            Action.OPEN: lambda: self._client.open(endpoint, profile, deadline_seconds=self._deadline),
            Action.ASK: lambda: self._client.get(endpoint, profile.window_id, deadline_seconds=self._deadline),
            Action.CLOSE: lambda: self._client.close(endpoint, profile.window_id, deadline_seconds=self._deadline),
        }
        # Before the answer: a window whose opening was not acknowledged is closed as well.
        known.open[uid] = endpoint
        async with self._limit:
            answer = await self._answer(known, uid, calls[step.action])
        report = answer.report
        refused = answer.trouble not in (None, Trouble.UNREACHABLE)
        if refused or (report is not None and report.state != "Open"):
            known.open.pop(uid, None)
        if report is not None and report.state == "Complete":
            known.reports[uid] = report
        if step.action is Action.OPEN and report is not None:
            log.info("window opened", profile=profile.metadata.key, pod=step.pod.name, window=profile.window_id)
        return answer

    async def _answer(self, known: _Known, uid: str, call: Callable[[], Awaitable[WindowReply]]) -> WindowAnswer:
        since = known.heard.setdefault(uid, self._clock())
        try:
            reply = await call()
        except PodRejected as error:
            known.heard[uid] = self._clock()
            return WindowAnswer(trouble=_TROUBLES.get(error.code, Trouble.REJECTED), message=error.said)
        except PodError as error:
            return WindowAnswer(trouble=Trouble.UNREACHABLE, message=str(error), silent_seconds=self._clock() - since)
        known.heard[uid] = self._clock()
        return WindowAnswer(report=_report(reply))

    async def _close(self, known: _Known, uid: str, endpoint: PodEndpoint) -> None:
        async with self._limit:
            try:
                await self._client.close(endpoint, window_id(known.uid), deadline_seconds=self._deadline)
            except PodRejected:
                known.open.pop(uid, None)  # the pod does not know it
            except PodError as error:
                log.info("window not closed", window=window_id(known.uid), error=str(error))
            else:
                known.open.pop(uid, None)
                log.info("window closed", window=window_id(known.uid), pod=endpoint.address())

    async def _close_orphans(
        self, pod: PodEndpoint, profiles: Callable[[], set[str]], limit: asyncio.Semaphore
    ) -> None:
        async with limit:
            try:
                found = await self._client.open_windows(pod, deadline_seconds=self._deadline)
                orphans = set(found) - {window_id(uid) for uid in profiles()}
                for each in sorted(orphans):
                    await self._client.close(pod, each, deadline_seconds=self._deadline)
                    log.info("window of a deleted profile closed", window=each, pod=pod.address())
            except PodError as error:
                log.info("pod not asked for windows of deleted profiles", error=str(error))


def _report(reply: WindowReply) -> WindowReport:
    fields = {**asdict(reply), "operators": tuple(OperatorUse(**asdict(each)) for each in reply.operators)}
    return WindowReport(**fields)
