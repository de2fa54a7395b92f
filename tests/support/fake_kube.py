"""The API server's behaviour that the services rely on, in memory: versions, uids, server-side apply with field owners,
conflicts, watches. For injecting faults that a real API server cannot be asked for.
"""

import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import count
from typing import Any

from genai_operator.clients.kube import Resource, resource_of
from genai_operator.errors import ClusterConflict, ClusterError, ClusterNotFound

Object = dict[str, Any]
Watcher = Callable[[Resource, str, Object], None]


class FakeKube:
    """Takes the place of `KubeClient`. `writes` lists every request that changed something or tried to."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.writes: list[tuple[str, str, str]] = []  # (verb, kind, name)
        self.watchers: list[Watcher] = []
        self.failures: dict[tuple[str, str], ClusterError] = {}  # (verb, kind) -> raised instead
        self._owned: dict[tuple[str, str, str], dict[str, set[tuple[str, ...]]]] = {}
        self._versions = count(100)
        self._uids = count(1)

    def put(self, body: Mapping[str, Any]) -> Object:
        """Creates or replaces an object as somebody else does."""
        return self._store(copy.deepcopy(dict(body)))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Deletes an object as somebody else does."""
        gone = self.objects.pop((kind, namespace, name))
        self._owned.pop((kind, namespace, name), None)
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self._tell("DELETED", gone)

    def find(self, kind: str, name: str, namespace: str = "team") -> Object | None:
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def apply(
        self, manifest: Mapping[str, Any], *, manager: str = "genai-operator", force: bool = True, subresource: str = ""
    ) -> Object:
        kind, metadata = str(manifest["kind"]), manifest["metadata"]
        self._attempt("apply-status" if subresource else "apply", kind, metadata["name"])
        key = (kind, metadata["namespace"], metadata["name"])
        stored = self.objects.get(key)
        if stored is None:
            if subresource:
                raise ClusterNotFound(f"{kind} {metadata['name']}")
            stored = {"metadata": {}}
        elif metadata.get("uid") not in (None, stored["metadata"]["uid"]):
            raise ClusterConflict(f"{kind} {metadata['name']} is another one")
        fields = _leaves({"status": manifest["status"]} if subresource else dict(manifest))
        owners = self._owned.setdefault(key, {})
        if not force and key in self.objects and not (fields.keys() & owners.get(manager, set())):
            raise ClusterConflict(f"{kind} {metadata['name']} has other managers")
        result = copy.deepcopy(stored)
        others = {path for other, paths in owners.items() if other != manager for path in paths}
        for path in owners.get(manager, set()) - set(fields) - others:
            _remove(result, path)
        for path, value in fields.items():
            _set(result, path, value)
        owners[manager] = set(fields)
        return self._store(result, unchanged_is_no_write=True)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.find(resource.kind, name, namespace)

    async def list(
        self, resource: Resource, namespace: str, selector: str = "", *, page: int = 250
    ) -> AsyncIterator[tuple[list[Object], str]]:
        found = [
            copy.deepcopy(body)
            for (kind, space, _), body in self.objects.items()
            if kind == resource.kind
            and namespace in ("", space)
            and _selected(selector, body["metadata"].get("labels") or {})
        ]
        yield found, str(next(self._versions))

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        self._attempt("create", str(manifest["kind"]), str(manifest["metadata"].get("name", "")))
        metadata = manifest["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}{next(self._uids)}"
        if (manifest["kind"], metadata["namespace"], name) in self.objects:
            raise ClusterConflict(f"{manifest['kind']} {name} exists")
        return self._store({**copy.deepcopy(dict(manifest)), "metadata": {**metadata, "name": name}})

    async def replace(self, manifest: Mapping[str, Any]) -> Object:
        metadata = manifest["metadata"]
        self._attempt("replace", str(manifest["kind"]), metadata["name"])
        stored = self.objects.get((manifest["kind"], metadata["namespace"], metadata["name"]))
        if stored is None:
            raise ClusterNotFound(metadata["name"])
        if metadata.get("resourceVersion") not in (None, stored["metadata"]["resourceVersion"]):
            raise ClusterConflict(f"{metadata['name']} changed")
        return self._store(copy.deepcopy(dict(manifest)))

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> None:
        self._attempt("delete", resource.kind, name)
        stored = self.objects.get((resource.kind, namespace, name))
        if stored and uid in ("", stored["metadata"]["uid"]):
            self.remove(resource.kind, namespace, name)

    def _attempt(self, verb: str, kind: str, name: str) -> None:
        self.writes.append((verb, kind, name))
        failure = self.failures.get((verb, kind))
        if failure:
            raise failure

    def _store(self, body: Object, *, unchanged_is_no_write: bool = False) -> Object:
        metadata = body["metadata"]
        key = (body["kind"], metadata["namespace"], metadata["name"])
        before = self.objects.get(key)
        if before:
            metadata["uid"] = before["metadata"]["uid"]
            metadata["generation"] = before["metadata"]["generation"] + (before.get("spec") != body.get("spec"))
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
            if unchanged_is_no_write and before == body:
                return copy.deepcopy(body)
        else:
            metadata.setdefault("uid", f"uid-{next(self._uids)}")
            metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[key] = body
        self._tell("MODIFIED" if before else "ADDED", body)
        return copy.deepcopy(body)

    def _tell(self, event: str, body: Object) -> None:
        try:
            resource = resource_of(body)
        except ClusterError:
            return
        for watcher in self.watchers:
            watcher(resource, event, copy.deepcopy(body))


def _selected(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a selector, one label or one label with its value, takes an object."""
    name, equals, value = selector.partition("=")
    return not name or (name in labels and (not equals or labels[name] == value))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> dict[Any, Any]:
    """Every field a manifest sets, by path; a list of conditions is a map by type, other lists are one field."""
    if isinstance(value, Mapping) and value:
        found: dict[Any, Any] = {}
        for name, each in value.items():
            found |= _leaves(each, (*path, name))
        return found
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) and path[-1:] == ("conditions",):
        return {(*path, f"type={each['type']}"): each for each in value}
    return {path: copy.deepcopy(value)}


def _set(body: Object, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        if name == "conditions" and path[-1].startswith("type="):
            kept = [each for each in body.get(name) or [] if f"type={each['type']}" != path[-1]]
            body[name] = sorted([*kept, value], key=lambda each: str(each["type"]))
            return
        body = body.setdefault(name, {})
    body[path[-1]] = value


def _remove(body: Object, path: tuple[str, ...]) -> None:
    for name in path[:-1]:
        if name == "conditions" and path[-1].startswith("type="):
            body[name] = [each for each in body.get(name) or [] if f"type={each['type']}" != path[-1]]
            return
        if name not in body:
            return
        body = body[name]
    body.pop(path[-1], None)
