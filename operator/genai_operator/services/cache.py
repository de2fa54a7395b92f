"""What was seen in the cluster, reduced to what decisions need, and kept by watch events and by our own writes.

Models are kept as compact JSON, children as a uid and a digest, so that a thousand models fit a small pod. An event
older than what is known, our own writes included, is dropped. Nothing here talks to the API server.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from genai_operator.clients.kube import DEPLOYMENT, JOB, MODEL, POD, SCALED_OBJECT, Resource
from genai_operator.constants import LABEL_BUILD, LABEL_MODEL, LABEL_TUNING
from genai_operator.services.jobs import JobBook
from genai_operator.services.reading import compact_model, controller_uid, digest, observed_deployment, observed_pod
from genai_operator.status.observed import ObservedDeployment, ObservedPod

Object = Mapping[str, Any]
DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class ChildId:
    """Names one object of a kind that models have."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Child:
    """What is known of an object that carries our label. `controller` is the uid of the model that owns it."""

    uid: str
    version: int
    digest: bytes
    controller: str
    model: str


@dataclass(frozen=True, slots=True)
class _Model:
    version: int
    body: bytes
    uid: str


class Cache:
    """The read side of the operator. Keys are `namespace/name` of a model."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._children: dict[ChildId, Child] = {}
        self._by_model: dict[str, set[ChildId]] = {}
        self._deployments: dict[str, ObservedDeployment] = {}
        self.tuning_jobs = JobBook(LABEL_TUNING)
        self.build_jobs = JobBook(LABEL_BUILD)
        self._pods: dict[str, dict[str, tuple[int, ObservedPod]]] = {}
        # Our writes that have not come back through a watch: (kind, key) -> (version, since).
        self._awaited: dict[tuple[str, str], tuple[int, float]] = {}

    def keys(self) -> list[str]:
        """All models."""
        return list(self._models)

    def model(self, key: str) -> dict[str, Any] | None:
        """The model's metadata, spec and status; a fresh copy."""
        known = self._models.get(key)
        return json.loads(known.body) if known else None

    def deployment(self, key: str) -> ObservedDeployment | None:
        """The model's Deployment."""
        return self._deployments.get(key)

    def pods(self, key: str) -> tuple[ObservedPod, ...]:
        """The model's pods by name."""
        return tuple(sorted((pod for _, pod in self._pods.get(key, {}).values()), key=lambda pod: pod.name))

    def child(self, child: ChildId) -> Child | None:
        """What is known of a child; None when it is not there or does not carry our label."""
        return self._children.get(child)

    def children(self, key: str) -> Iterator[tuple[ChildId, Child]]:
        """All objects that carry the model's label, pods left out."""
        for child in sorted(self._by_model.get(key, ()), key=lambda each: (each.kind, each.name)):
            yield child, self._children[child]

    def observe(self, resource: Resource, event: str | None, body: Object) -> str | None:
        """Takes a watch event in; returns the key of the model that has to be looked at, if any."""
        self._came_back(resource, event, body)
        if resource is MODEL:
            return self._observe_model(event, body)
        if resource is POD:
            return self._observe_pod(event, body)
        if resource is JOB:
            return self.tuning_jobs.observe(event, body) or self.build_jobs.observe(event, body)
        return self._observe_child(resource, event, body)

    def missing(self, resource: Resource, seen: Set[str], snapshot: int, namespace: str = "") -> list[str]:
        """Drops what a complete listing did not show, unless it is newer; returns the keys to look at.

        `seen` holds uids; `namespace` is the one that was listed, empty for all. A watch that starts again after a gap
        does not tell what was deleted in the gap.
        """

        def lost(key: str, uid: str, version: int) -> bool:
            return uid not in seen and version <= snapshot and (not namespace or key.startswith(f"{namespace}/"))

        if resource is MODEL:
            gone = [key for key, known in self._models.items() if lost(key, known.uid, known.version)]
            for key in gone:
                del self._models[key]
            return gone
        if resource is JOB:
            books = (self.tuning_jobs, self.build_jobs)
            return [key for book in books for key in book.missing(seen, snapshot, namespace)]
        if resource is POD:
            pods = [
                (key, uid) for key, each in self._pods.items() for uid, (at, _) in each.items() if lost(key, uid, at)
            ]
            for key, uid in pods:
                self._drop_pod(key, uid)
            return [key for key, _ in pods]
        children = [
            (identifier, child)
            for identifier, child in self._children.items()
            if identifier.kind == resource.kind and lost(child.model, child.uid, child.version)
        ]
        for identifier, child in children:
            self._drop_child(identifier, child)
        return [child.model for _, child in children]

    def wrote_model(self, body: Object) -> bool:
        """Records the answer to a status write; True when somebody else changed the model in between."""
        key = _key(body)
        known = self._models.get(key)
        version = _version(body)
        if known is None or known.uid != body["metadata"].get("uid") or known.version >= version:
            return False
        before, after = json.loads(known.body), compact_model(body)
        self._models[key] = replace(known, version=version, body=after)
        self._await(MODEL, key, version)
        return _inputs(before) != _inputs(json.loads(after))

    def wrote_child(self, resource: Resource, key: str, body: Object) -> Child:
        """Records the answer to an apply, and returns what it made of the child."""
        child = _child(body, key)
        known = self._children.get(_child_id(resource, body))
        changed = known is None or known.version < child.version
        if changed:
            self._keep_child(resource, body, child)
            if resource is not SCALED_OBJECT:  # which no watch shows
                self._await(resource, f"{key}/{body['metadata']['name']}", child.version)
        return child

    def deleted_child(self, child: ChildId) -> None:
        """Records that we deleted a child that no watch shows."""
        known = self._children.get(child)
        if known:
            self._drop_child(child, known)

    def oldest_awaited(self) -> tuple[str, float] | None:
        """Our oldest write that no watch has shown yet: what it was, and its age in seconds."""
        if not self._awaited:
            return None
        (kind, name), (_, since) = min(self._awaited.items(), key=lambda item: item[1][1])
        return f"{kind} {name}", self._clock() - since

    def _observe_model(self, event: str | None, body: Object) -> str | None:
        key, version = _key(body), _version(body)
        known = self._models.get(key)
        if event == DELETED:
            if known is None or known.uid == body["metadata"].get("uid"):
                self._models.pop(key, None)
            return key
        if known and known.uid == body["metadata"].get("uid") and known.version >= version:
            return None
        self._models[key] = _Model(version, compact_model(body), str(body["metadata"].get("uid", "")))
        return key

    def _observe_pod(self, event: str | None, body: Object) -> str | None:
        key, version = _model_key(body), _version(body)
        if key is None:
            return None
        uid = str(body["metadata"].get("uid", ""))
        if event == DELETED:
            self._drop_pod(key, uid)
            return key
        pods = self._pods.setdefault(key, {})
        known = pods.get(uid)
        pod = observed_pod(body)
        if known and (known[0] >= version or known[1] == pod):
            pods[uid] = (max(known[0], version), known[1])
            return None
        pods[uid] = (version, pod)
        return key

    def _observe_child(self, resource: Resource, event: str | None, body: Object) -> str | None:
        key = _model_key(body)
        if key is None:
            return None
        identifier, uid = _child_id(resource, body), str(body["metadata"].get("uid", ""))
        known = self._children.get(identifier)
        if event == DELETED:
            if known and known.uid == uid:
                self._drop_child(identifier, known)
            return key
        if known and known.uid == uid and known.version >= _version(body):
            return None
        child = _child(body, key)
        before = self._deployments.get(key)
        self._keep_child(resource, body, child)
        same = known and (known.uid, known.digest, known.controller) == (child.uid, child.digest, child.controller)
        return None if same and before == self._deployments.get(key) else key

    def _keep_child(self, resource: Resource, body: Object, child: Child) -> None:
        identifier = _child_id(resource, body)
        before = self._children.get(identifier)
        if before and before.model != child.model:
            self._drop_child(identifier, before)
        self._children[identifier] = child
        self._by_model.setdefault(child.model, set()).add(identifier)
        if resource is DEPLOYMENT:
            self._deployments[child.model] = observed_deployment(body)

    def _drop_child(self, identifier: ChildId, child: Child) -> None:
        self._children.pop(identifier, None)
        siblings = self._by_model.get(child.model, set())
        siblings.discard(identifier)
        if not siblings:
            self._by_model.pop(child.model, None)
        if identifier.kind == DEPLOYMENT.kind:
            self._deployments.pop(child.model, None)

    def _drop_pod(self, key: str, uid: str) -> None:
        pods = self._pods.get(key, {})
        pods.pop(uid, None)
        if not pods:
            self._pods.pop(key, None)

    def _await(self, resource: Resource, name: str, version: int) -> None:
        self._awaited[(resource.kind, name)] = (version, self._clock())

    def _came_back(self, resource: Resource, event: str | None, body: Object) -> None:
        metadata = body.get("metadata", {})
        model = _key(body) if resource is MODEL else _model_key(body)
        name = str(model) if resource is MODEL else f"{model}/{metadata.get('name')}"
        awaited = self._awaited.get((resource.kind, name))
        if awaited and (event == DELETED or _version(body) >= awaited[0]):
            del self._awaited[(resource.kind, name)]


def _key(body: Object) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _model_key(body: Object) -> str | None:
    name = (body["metadata"].get("labels") or {}).get(LABEL_MODEL)
    return f"{body['metadata']['namespace']}/{name}" if name else None


def _child_id(resource: Resource, body: Object) -> ChildId:
    return ChildId(resource.kind, body["metadata"]["namespace"], body["metadata"]["name"])


def _child(body: Object, key: str) -> Child:
    return Child(
        uid=str(body["metadata"].get("uid", "")),
        version=_version(body),
        digest=digest(body),
        controller=controller_uid(body),
        model=key,
    )


def _version(body: Object) -> int:
    # Kubernetes promises since 1.35 what etcd always did: versions of one kind are numbers that grow.
    return int(body["metadata"].get("resourceVersion") or 0)


def _inputs(body: Object) -> tuple[object, ...]:
    """What others write: a difference needs another pass."""
    metadata, status = body["metadata"], body.get("status") or {}
    return (
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        metadata.get("annotations"),
        body.get("spec"),
        status.get("requestedRuntimeOptions"),
    )
