"""One Lease: who of several operators works, and the proof that this one can write to and hear from the API server.

The holder renews the Lease; every renewal has to come back through a watch, else `healthy` turns False. Losing the
Lease ends the process: a new start is the only safe way to forget what was in progress. What the holder does is not
known here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog

from genai_operator.clients.kube import LEASE, KubeClient
from genai_operator.errors import ClusterError, OperatorError

log = structlog.get_logger(__name__)

# Renewals that may be missed before the watch counts as blind.
_SILENT_RENEWALS = 9
# The kubelet does not wait for long when it ends a pod.
_RELEASE_SECONDS = 3.0


class LeadershipLost(OperatorError):
    """Another operator holds the Lease, or it could not be renewed in time."""


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Which Lease, for whom, and how long it holds without a renewal."""

    namespace: str
    name: str
    identity: str
    seconds: float


class Leader:
    """Holds the Lease. With `election` off it is taken whoever holds it, and serves as the heartbeat alone."""

    def __init__(
        self, kube: KubeClient, lease: LeaseName, *, election: bool, clock: Callable[[], float] = monotonic
    ) -> None:
        self._kube = kube
        self._lease = lease
        self._election = election
        self._clock = clock
        self._seen: float | None = None  # when the watch last showed the Lease, or began to
        self._foreign: tuple[str, float] = ("", clock())  # version of the other's Lease, and since when it is that
        self.leading = False

    @property
    def healthy(self) -> bool:
        """Whether renewals, ours or another holder's, arrive through the watch; before it begins they need not."""
        return self._seen is None or self._clock() - self._seen < self._renewal_seconds * _SILENT_RENEWALS

    @property
    def _renewal_seconds(self) -> float:
        return self._lease.seconds / 3

    async def acquire(self) -> None:
        """Waits until the Lease is ours."""
        waiting = False
        while not await self._try():
            if not waiting:
                log.info("another operator holds the lease", lease=self._lease.name, identity=self._lease.identity)
                waiting = True
            await asyncio.sleep(self._renewal_seconds / 2)
        self.leading = True
        log.info("holding the lease", lease=self._lease.name, identity=self._lease.identity)

    async def keep(self) -> None:
        """Renews until cancelled.

        Raises:
            LeadershipLost: the Lease is another's, or could not be renewed before it ran out.
        """
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._renewal_seconds)
            if await self._try():
                renewed = self._clock()
            elif self._clock() - renewed > self._lease.seconds * 0.8 or self._foreign[0]:
                self.leading = False
                raise LeadershipLost(f"lease {self._lease.namespace}/{self._lease.name} is not ours any more")

    async def release(self) -> None:
        """Gives the Lease back, so that the next operator does not wait for its end."""
        if not self.leading:
            return
        self.leading = False
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                lease = await self._kube.get(LEASE, self._lease.namespace, self._lease.name)
                if lease and lease["spec"].get("holderIdentity") == self._lease.identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._kube.replace(lease)
        except (ClusterError, TimeoutError) as error:
            log.warning("the lease could not be given back; the next operator waits for its end", error=repr(error))

    async def listen(self) -> None:
        """Follows the Lease through a watch until cancelled."""
        self._seen = self._clock()
        while True:
            try:
                # The Lease changes with every renewal: a stream without any is dead, though nobody says so.
                silence = self._renewal_seconds * _SILENT_RENEWALS / 3
                name = self._lease
                events = self._kube.watch(LEASE, name.namespace, name.name, seconds=300, silence=silence)
                async for event in events:
                    if event.get("type") in ("ADDED", "MODIFIED"):
                        self._seen = self._clock()
            except ClusterError as error:
                log.warning("the watch of the lease broke", error=str(error))
            await asyncio.sleep(1.0)

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease."""
        try:
            lease = await self._kube.get(LEASE, self._lease.namespace, self._lease.name)
            if lease is None:
                await self._kube.create(self._manifest())
            elif self._may_take(lease):
                await self._kube.replace(self._taken(lease))
            else:
                return False
        except ClusterError as error:
            log.warning("the lease could not be written", lease=self._lease.name, error=str(error))
            return False
        self._foreign = ("", self._clock())
        return True

    def _may_take(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        if not self._election or spec.get("holderIdentity") in (None, "", self._lease.identity):
            return True
        # Clocks differ between nodes: what counts is how long we have seen no change, not the written time.
        version = str(lease["metadata"].get("resourceVersion"))
        if version != self._foreign[0]:
            self._foreign = (version, self._clock())
        return self._clock() - self._foreign[1] > float(spec.get("leaseDurationSeconds") or self._lease.seconds)

    def _taken(self, lease: dict[str, Any]) -> dict[str, Any]:
        spec = lease.get("spec") or {}
        fresh = self._manifest()["spec"]
        if spec.get("holderIdentity") == self._lease.identity:
            fresh["acquireTime"] = spec.get("acquireTime") or fresh["acquireTime"]
            fresh["leaseTransitions"] = spec.get("leaseTransitions") or 0
        else:
            fresh["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        return {**lease, "spec": fresh}

    def _manifest(self) -> dict[str, Any]:
        now = _now()
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._lease.name, "namespace": self._lease.namespace},
            "spec": {
                "holderIdentity": self._lease.identity,
                "leaseDurationSeconds": max(1, round(self._lease.seconds)),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
