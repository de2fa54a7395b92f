"""GenAIProfiles and their collectors as seen in the cluster, kept by watch events and by our own writes.

Profiles are kept as compact JSON, a Job as what became of it. An event older than what is known is dropped. Nothing
here talks to the API server.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from genai_operator.clients.kube import JOB, Resource
from genai_operator.constants import LABEL_PROFILE
from genai_operator.services.cache import DELETED
from genai_operator.services.jobs import JobBook, KnownJob

Object = Mapping[str, Any]

_KEPT_METADATA = ("name", "namespace", "uid", "generation", "resourceVersion", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class _Profile:
    uid: str
    version: int
    model: str
    finished: bool
    body: bytes


class ProfileCache:
    """Keys are `namespace/name` of a profile."""

    def __init__(self) -> None:
        self._profiles: dict[str, _Profile] = {}
        self._unfinished: dict[str, set[str]] = {}  # by the model's key
        self._jobs = JobBook(LABEL_PROFILE)

    def keys(self) -> list[str]:
        """All profiles."""
        return list(self._profiles)

    def profile(self, key: str) -> dict[str, Any] | None:
        """The profile's metadata, spec and status; a fresh copy."""
        known = self._profiles.get(key)
        return json.loads(known.body) if known else None

    def uids(self) -> set[str]:
        """Of all profiles that may have a window."""
        return {known.uid for known in self._profiles.values() if not known.finished}

    def job(self, key: str) -> KnownJob | None:
        """The profile's collector."""
        return self._jobs.job(key)

    def of_model(self, model: str) -> list[str]:
        """Profiles of a model (`namespace/name`) that are not finished."""
        return sorted(self._unfinished.get(model, ()))

    def observe(self, resource: Resource, event: str | None, body: Object) -> str | None:
        """Takes a watch event in; returns the key of the profile that has to be looked at, if any."""
        return self._jobs.observe(event, body) if resource is JOB else self._observe_profile(event, body)

    def missing(self, resource: Resource, seen: Set[str], snapshot: int, namespace: str = "") -> list[str]:
        """Drops what a complete listing did not show, unless it is newer; returns the keys to look at."""
        if resource is JOB:
            return self._jobs.missing(seen, snapshot, namespace)
        gone = [
            key
            for key, each in self._profiles.items()
            if each.uid not in seen and each.version <= snapshot and (not namespace or key.startswith(f"{namespace}/"))
        ]
        for key in gone:
            self._drop(key)
        return gone

    def wrote(self, body: Object) -> bool:
        """Records the answer to a status write; True when somebody else changed the profile in between."""
        key, version = _key(body), _version(body)
        known = self._profiles.get(key)
        if known is None or known.uid != body["metadata"].get("uid") or known.version >= version:
            return False
        before = json.loads(known.body)
        self._keep(key, _profile(body))
        return bool(before["spec"] != (body.get("spec") or {}))

    def _observe_profile(self, event: str | None, body: Object) -> str | None:
        key = _key(body)
        known = self._profiles.get(key)
        same = known is not None and known.uid == body["metadata"].get("uid")
        if event == DELETED:
            if same:
                self._drop(key)
            return key
        if known is not None and same and known.version >= _version(body):
            return None
        self._keep(key, _profile(body))
        return key

    def _keep(self, key: str, profile: _Profile) -> None:
        self._drop(key)
        self._profiles[key] = profile
        if not profile.finished:
            self._unfinished.setdefault(profile.model, set()).add(key)

    def _drop(self, key: str) -> None:
        gone = self._profiles.pop(key, None)
        if gone is None:
            return
        siblings = self._unfinished.get(gone.model, set())
        siblings.discard(key)
        if not siblings:
            self._unfinished.pop(gone.model, None)


def _key(body: Object) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _version(body: Object) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def _profile(body: Object) -> _Profile:
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    kept = {name: metadata[name] for name in _KEPT_METADATA if name in metadata}
    essence = {"metadata": kept, "spec": spec, "status": status}
    return _Profile(
        uid=str(metadata.get("uid", "")),
        version=_version(body),
        model=f"{metadata['namespace']}/{spec.get('model')}",
        finished=status.get("phase") in ("Complete", "Failed"),
        body=json.dumps(essence, separators=(",", ":")).encode(),
    )
