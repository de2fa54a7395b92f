"""Writes a model's status, one field manager a part, and only when it differs. What it says is decided in `status/`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from genai_operator.clients.kube import EVENT, MODEL, KubeClient, Resource
from genai_operator.constants import MANAGER, MANAGER_LIVE
from genai_operator.errors import ClusterConflict, ClusterError, ClusterNotFound
from genai_operator.services.cache import Cache
from genai_operator.services.event_budget import EventBudget
from genai_operator.status.events import Notice, transitions

log = structlog.get_logger(__name__)

_EVENT_MESSAGE_LIMIT = 1024  # of the API
# Who writes which fields; `requestedRuntimeOptions` is other controllers'. Conditions are shared, by type.
_LIVE_FIELDS = frozenset({"runtimeOptions"})
_FOREIGN_FIELDS = frozenset({"requestedRuntimeOptions"})


class StatusWriter:
    """Applies parts of statuses. `wake` asks for another pass over a model."""

    def __init__(
        self, kube: KubeClient, cache: Cache, wake: Callable[[str, float], None], clock: Callable[[], datetime]
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._wake = wake
        self._clock = clock
        self._budget = EventBudget()

    def forget(self, key: str) -> None:
        """Drops what is remembered of a model that is gone."""
        self._budget.forget(key)

    async def write(self, key: str, body: Mapping[str, Any], manager: str, status: Mapping[str, Any]) -> None:
        """Writes one manager's part of the status, if it differs from what `body` holds.

        Raises:
            ClusterError: the API server did not take it.
        """
        if not status_differs(body.get("status") or {}, status, manager):
            return
        metadata = {name: body["metadata"][name] for name in ("name", "namespace", "uid")}
        manifest = {"apiVersion": MODEL.api_version, "kind": MODEL.kind, "metadata": metadata, "status": status}
        try:
            written = await self._kube.apply(manifest, manager=manager, subresource="status")
        except (ClusterNotFound, ClusterConflict):
            return  # deleted, or deleted and made anew: its event is on the way
        log.info("status written", model=key, manager=manager)
        if self._cache.wrote_model(written):
            self._wake(key, 0.0)
        for notice in transitions(body.get("status") or {}, status):
            await self._post(key, body["metadata"], notice)

    async def _post(self, key: str, metadata: Mapping[str, Any], notice: Notice) -> None:
        """Posts an Event about the model; one that is lost is no reason to repeat the pass."""
        if not self._budget.take(key):
            log.info("event withheld: the model had too many", model=key, reason=notice.reason)
            return
        try:
            await self._kube.create(event_manifest(MODEL, metadata, notice, self._clock()))
        except ClusterError as error:
            log.warning("event not posted", model=key, reason=notice.reason, error=str(error))


def event_manifest(resource: Resource, metadata: Mapping[str, Any], notice: Notice, now: datetime) -> dict[str, Any]:
    """An Event about an object of ours."""
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": involved | {name: metadata[name] for name in ("name", "namespace", "uid")},
        "type": notice.type,
        "reason": notice.reason,
        "message": notice.message[:_EVENT_MESSAGE_LIMIT],
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def status_differs(current: Mapping[str, Any], wanted: Mapping[str, Any], manager: str) -> bool:
    """Whether this manager's part of the current status is another than wanted; parts of others do not count."""
    live = manager == MANAGER_LIVE

    def ours(field: str) -> bool:
        return field != "conditions" and field not in _FOREIGN_FIELDS and (field in _LIVE_FIELDS) == live

    fields = {name: value for name, value in current.items() if ours(name)}
    if fields != {name: value for name, value in wanted.items() if name != "conditions"}:
        return True
    conditions = {each["type"]: each for each in current.get("conditions") or ()}
    desired = {each["type"]: each for each in wanted.get("conditions") or ()}
    return any(conditions.get(kind) != condition for kind, condition in desired.items())
