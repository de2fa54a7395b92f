"""Writes a profile's status when it differs, and not for every run that was captured. What it says is `status`'s."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from genai_operator.clients.kube import PROFILE, KubeClient
from genai_operator.constants import MANAGER
from genai_operator.errors import ClusterConflict, ClusterError, ClusterNotFound
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.status_writer import event_manifest
from genai_operator.status.events import phase_notice

log = structlog.get_logger(__name__)

# Numbers that only grow while a window is open are written at most this often; every other change at once.
_PROGRESS_SECONDS = 2.0
_PROGRESS = ("capturedRuns", "capturedRequests", "capturedBytes", "droppedRuns", "overheadPercent")
_POD_PROGRESS = ("runs", "skippedRuns", "requests", "bytes", "droppedRuns", "overheadPercent")


class ProfileWriter:
    """Applies statuses of profiles."""

    def __init__(self, kube: KubeClient, cache: ProfileCache, clock: Callable[[], datetime]) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._written: dict[str, datetime] = {}

    def forget(self, key: str) -> None:
        """Drops what is remembered of a profile that is gone."""
        self._written.pop(key, None)

    async def write(self, key: str, body: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
        """Writes the status unless the cluster has it; False when it is put off, or the profile is another by now.

        Raises:
            ClusterError: the API server did not take it.
        """
        before = body.get("status") or {}
        if _comparable(before) == _comparable(status):
            return True
        if _settled(before) == _settled(status) and self._too_soon(key):
            return True  # the next pass writes it
        metadata = {name: body["metadata"][name] for name in ("name", "namespace", "uid")}
        manifest = {"apiVersion": PROFILE.api_version, "kind": PROFILE.kind, "metadata": metadata, "status": status}
        try:
            written = await self._kube.apply(manifest, manager=MANAGER, subresource="status")
        except (ClusterNotFound, ClusterConflict):
            return False  # deleted, or deleted and made anew: its event is on the way
        self._written[key] = self._clock()
        current = not self._cache.wrote(written)
        if before.get("phase") != status["phase"]:
            log.info("profile", profile=key, phase=status["phase"])
            await self._post(key, body["metadata"], status)
        return current

    async def _post(self, key: str, metadata: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Posts an Event about a new phase, but for the first; one that is lost is no reason to repeat the pass."""
        notice = phase_notice(status)
        if notice is None:
            return
        try:
            await self._kube.create(event_manifest(PROFILE, metadata, notice, self._clock()))
        except ClusterError as error:
            log.warning("event not posted", profile=key, reason=notice.reason, error=str(error))

    def _too_soon(self, key: str) -> bool:
        last = self._written.get(key)
        return last is not None and (self._clock() - last).total_seconds() < _PROGRESS_SECONDS


def _comparable(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status with its conditions by type: the API server may keep them in another order."""
    return {**status, "conditions": {each["type"]: each for each in status.get("conditions") or ()}}


def _settled(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status without what only counts."""
    kept = {name: value for name, value in _comparable(status).items() if name not in _PROGRESS}
    kept["pods"] = [
        {name: value for name, value in pod.items() if name not in _POD_PROGRESS} for pod in status.get("pods") or ()
    ]
    return kept
