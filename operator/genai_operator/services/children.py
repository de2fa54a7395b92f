"""Makes a model's children what the builders say: refuses foreign objects, applies what differs, deletes the rest.

Which children there are is decided in `builders/`; when to look, in `models.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from genai_operator.clients.kube import SECRET, KubeClient, child_resource, resource_of
from genai_operator.errors import ClusterConflict
from genai_operator.services.cache import Cache, ChildId
from genai_operator.services.reading import controller_uid, manifest_digest

log = structlog.get_logger(__name__)

Manifest = Mapping[str, Any]

# What we cannot watch is applied again after this long where it may be what is wrong.
_UNSEEN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was applied, what the API server made of it, and when."""

    manifest: bytes
    result: bytes
    at: float


class Children:
    """Applies children. Remembers for each what it applied last, so that a pass without a change sends nothing."""

    def __init__(self, kube: KubeClient, cache: Cache) -> None:
        self._kube = kube
        self._cache = cache
        self._applied: dict[str, dict[ChildId, _Applied]] = {}

    async def converge(self, key: str, uid: str, wanted: Sequence[Manifest], *, suspect: bool) -> str:
        """Brings the model's children to what is wanted; returns why it refused to, or an empty text.

        Nothing is written when one name is taken by an object that this model (`uid`) does not control. `suspect`: the
        model does not work, so what cannot be watched is worth another apply.

        Raises:
            ClusterError: the API server did not take one of them; those before it are applied.
        """
        differing = [each for each in wanted if self._differs(key, each, suspect=suspect)]
        conflict = await self._conflict(uid, wanted)
        if conflict:
            return conflict
        for manifest in differing:
            refused = await self._apply(key, manifest)
            if refused:
                return refused
        await self._delete_unwanted(key, uid, wanted)
        return ""

    def forget(self, key: str) -> None:
        """Drops what is remembered of a model that is gone."""
        self._applied.pop(key, None)

    def _differs(self, key: str, manifest: Manifest, *, suspect: bool) -> bool:
        child = _id(manifest)
        applied = self._applied.get(key, {}).get(child)
        if applied is None or applied.manifest != manifest_digest(manifest):
            return True
        if child.kind == SECRET.kind:
            return suspect and monotonic() - applied.at > _UNSEEN_SECONDS
        known = self._cache.child(child)
        return known is None or known.digest != applied.result

    async def _conflict(self, uid: str, wanted: Sequence[Manifest]) -> str:
        """Which wanted name is taken by a foreign object; Secrets tell when they are applied."""
        unknown = []
        for manifest in wanted:
            child = _id(manifest)
            known = self._cache.child(child)
            if known and known.controller != uid:
                return _taken(child)
            if known is None and child.kind != SECRET.kind:
                unknown.append(manifest)
        found = await asyncio.gather(*(self._controller(each) for each in unknown))
        for manifest, controller in zip(unknown, found, strict=True):
            if controller not in (None, uid):
                return _taken(_id(manifest))
        return ""

    async def _controller(self, manifest: Manifest) -> str | None:
        child = _id(manifest)
        body = await self._kube.get(resource_of(manifest), child.namespace, child.name)
        return None if body is None else controller_uid(body)

    async def _apply(self, key: str, manifest: Manifest) -> str:
        child = _id(manifest)
        secret = child.kind == SECRET.kind
        try:
            # A Secret cannot be read: without force, a foreign one's fields conflict with ours.
            body = await self._kube.apply(manifest, force=not secret)
        except ClusterConflict:
            if secret:
                return _taken(child)
            raise
        result = b"" if secret else self._cache.wrote_child(resource_of(manifest), key, body).digest
        self._applied.setdefault(key, {})[child] = _Applied(manifest_digest(manifest), result, monotonic())
        log.info("applied", model=key, kind=child.kind, name=child.name)
        return ""

    async def _delete_unwanted(self, key: str, uid: str, wanted: Sequence[Manifest]) -> None:
        keep = {_id(manifest) for manifest in wanted}
        for child, known in list(self._cache.children(key)):
            if child in keep or known.controller != uid:
                continue
            await self._kube.delete(child_resource(child.kind), child.namespace, child.name, uid=known.uid)
            self._applied.get(key, {}).pop(child, None)
            log.info("deleted", model=key, kind=child.kind, name=child.name)


def _id(manifest: Manifest) -> ChildId:
    return ChildId(manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _taken(child: ChildId) -> str:
    return f"{child.kind} {child.name} exists and does not belong to this model; rename the model, or delete the object"
