"""Makes a model's children what the builders say: refuses foreign objects, applies what differs, deletes the rest.

Which children there are is decided in `builders/`; when to look, in `models.py`. What the API server refuses is sent
again after a growing pause, or at once when the manifest changed.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import structlog

from genai_operator.clients.kube import (
    HORIZONTAL_AUTOSCALER,
    SCALED_OBJECT,
    SECRET,
    KubeClient,
    child_resource,
    resource_of,
)
from genai_operator.errors import ClusterConflict, ClusterError, ClusterNotFound, ClusterRejected
from genai_operator.services.cache import Cache, ChildId
from genai_operator.services.queue import back_off
from genai_operator.services.reading import controller_uid, manifest_digest
from genai_operator.status.causes import NOT_SERVED

log = structlog.get_logger(__name__)

Manifest = Mapping[str, Any]

# What we cannot watch is applied again after this long where it may be what is wrong.
_UNSEEN_SECONDS = 300.0
# A foreign object carries no label of ours, so no event tells when it is gone.
_CONFLICT_SECONDS = 15.0
_FIRST_PAUSE = 1.0
_LAST_PAUSE = 120.0
# Two writers at the same time conflict and try again; that is worth telling only when it goes on.
_HARMLESS_CONFLICTS = 3
# Two of them would work against each other, and KEDA refuses a model that has an HPA.
_ONE_OF = (HORIZONTAL_AUTOSCALER.kind, SCALED_OBJECT.kind)
_EVERY_KIND: Sequence[str] = ()
_NO_KEDA = f"{NOT_SERVED} ScaledObjects; install KEDA, or use autoscaling.type HPA"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A child as it shall be, with its digest."""

    id: ChildId
    manifest: Manifest
    digest: bytes

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Computes the digest."""
        metadata = manifest["metadata"]
        identifier = ChildId(manifest["kind"], metadata["namespace"], metadata["name"])
        return cls(identifier, manifest, manifest_digest(manifest))


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a model does not have its children, as one of the two texts, and the seconds after which to look again."""

    conflict: str = ""
    refusal: str = ""
    again: float = _CONFLICT_SECONDS


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was applied, what the API server made of it, and when."""

    manifest: bytes
    result: bytes
    at: float


@dataclass(frozen=True, slots=True)
class _Refused:
    """Which manifest was refused, how many times in a row, with what words, and until when it is not sent again."""

    manifest: bytes
    times: int
    words: str
    until: float


class Children:
    """Applies children. Remembers for each what it applied last, so that a pass without a change sends nothing."""

    def __init__(self, kube: KubeClient, cache: Cache, clock: Callable[[], float] = monotonic) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._applied: dict[str, dict[ChildId, _Applied]] = {}
        self._refused: dict[str, dict[ChildId, _Refused]] = {}

    async def converge(
        self, key: str, uid: str, wanted: Sequence[Wanted], *, suspect: bool, left: Collection[ChildId] = ()
    ) -> Hindrance | None:
        """Brings the model's children to what is wanted; returns what is in the way, if anything.

        Nothing is written when one name is taken by an object that this model (`uid`) does not control. `suspect`: the
        model does not work, so what cannot be watched is worth another apply. `left` stays as it is.

        Raises:
            ClusterError: the API server could not take one of them now; those before it are applied.
        """
        differing = [each for each in wanted if self._differs(key, each, suspect=suspect)]
        conflict = await self._conflict(uid, wanted)
        if conflict:
            return Hindrance(conflict=conflict)
        keep = {*left, *(each.id for each in wanted)}
        await self._delete_unwanted(key, uid, keep, _ONE_OF)
        for each in differing:
            hindrance = self._resting(key, each) or await self._apply(key, each)
            if hindrance:
                return hindrance
        await self._delete_unwanted(key, uid, keep)
        return None

    def forget(self, key: str) -> None:
        """Drops what is remembered of a model that is gone."""
        self._applied.pop(key, None)
        self._refused.pop(key, None)

    def _differs(self, key: str, wanted: Wanted, *, suspect: bool) -> bool:
        applied = self._applied.get(key, {}).get(wanted.id)
        if applied is None or applied.manifest != wanted.digest:
            return True
        if wanted.id.kind == SECRET.kind:
            return suspect and self._clock() - applied.at > _UNSEEN_SECONDS
        known = self._cache.child(wanted.id)
        return known is None or known.digest != applied.result

    async def _conflict(self, uid: str, wanted: Sequence[Wanted]) -> str:
        """Which wanted name is taken by a foreign object; Secrets tell when they are applied."""
        unknown = []
        for each in wanted:
            known = self._cache.child(each.id)
            if known and known.controller != uid:
                return _taken(each.id)
            if known is None and each.id.kind != SECRET.kind:
                unknown.append(each)
        found = await asyncio.gather(*(self._controller(each) for each in unknown))
        for each, controller in zip(unknown, found, strict=True):
            if controller not in (None, uid):
                return _taken(each.id)
        return ""

    async def _controller(self, wanted: Wanted) -> str | None:
        body = await self._kube.get(resource_of(wanted.manifest), wanted.id.namespace, wanted.id.name)
        return None if body is None else controller_uid(body)

    def _resting(self, key: str, wanted: Wanted) -> Hindrance | None:
        """The last refusal of this very manifest, while it is not to be sent again."""
        refused = self._refused.get(key, {}).get(wanted.id)
        if refused is None or refused.manifest != wanted.digest or refused.until <= self._clock():
            return None
        return Hindrance(refusal=refused.words, again=refused.until - self._clock())

    async def _apply(self, key: str, wanted: Wanted) -> Hindrance | None:
        secret = wanted.id.kind == SECRET.kind
        try:
            # A Secret cannot be read: without force, a foreign one's fields conflict with ours.
            body = await self._kube.apply(wanted.manifest, force=not secret)
        except ClusterNotFound as error:
            if wanted.id.kind != SCALED_OBJECT.kind:
                raise
            return self._refuse(key, wanted, ClusterNotFound(str(error), said=_NO_KEDA))
        except (ClusterRejected, ClusterConflict) as error:
            if secret and isinstance(error, ClusterConflict):
                return Hindrance(conflict=_taken(wanted.id))
            return self._refuse(key, wanted, error)
        result = b"" if secret else self._cache.wrote_child(resource_of(wanted.manifest), key, body).digest
        self._applied.setdefault(key, {})[wanted.id] = _Applied(wanted.digest, result, self._clock())
        refused = self._refused.get(key, {})
        refused.pop(wanted.id, None)
        if not refused:
            self._refused.pop(key, None)
        log.info("applied", model=key, kind=wanted.id.kind, name=wanted.id.name)
        return None

    def _refuse(self, key: str, wanted: Wanted, error: ClusterError) -> Hindrance:
        """Notes a refusal; raises the error where it is a conflict that another attempt will most likely end."""
        before = self._refused.get(key, {}).get(wanted.id)
        times = before.times + 1 if before and before.manifest == wanted.digest else 1
        words = f"{wanted.id.kind} {wanted.id.name}: {error.said}"
        harmless = isinstance(error, ClusterConflict) and times <= _HARMLESS_CONFLICTS
        pause = 0.0 if harmless else back_off(times, random.random(), first=_FIRST_PAUSE, last=_LAST_PAUSE)
        refused = _Refused(wanted.digest, times, words, self._clock() + pause)
        self._refused.setdefault(key, {})[wanted.id] = refused
        if harmless:
            raise error
        log.warning("refused", model=key, kind=wanted.id.kind, name=wanted.id.name, error=str(error), times=times)
        return Hindrance(refusal=words, again=pause)

    async def _delete_unwanted(
        self, key: str, uid: str, keep: Collection[ChildId], kinds: Sequence[str] = _EVERY_KIND
    ) -> None:
        for child, known in list(self._cache.children(key)):
            if child in keep or known.controller != uid or (kinds and child.kind not in kinds):
                continue
            await self._kube.delete(child_resource(child.kind), child.namespace, child.name, uid=known.uid)
            if child.kind == SCALED_OBJECT.kind:  # no watch tells that it is gone
                self._cache.deleted_child(child)
            self._applied.get(key, {}).pop(child, None)
            log.info("deleted", model=key, kind=child.kind, name=child.name)


def _taken(child: ChildId) -> str:
    return f"{child.kind} {child.name} exists and does not belong to this model; rename the model, or delete the object"
