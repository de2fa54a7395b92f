"""The API server: typed errors, server-side apply, one connection pool. The only module that sends it requests of ours.

Objects are plain dicts, as the wire has them: neither the generated models nor the dynamic client's discovery are used,
because both cost memory and a thousand models have to fit a small pod. What objects mean is decided elsewhere.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from os import environ
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from genai_operator.constants import API_VERSION, KIND, MANAGER, PLURAL, PROFILE_KIND, PROFILE_PLURAL
from genai_operator.errors import (
    ClusterConflict,
    ClusterError,
    ClusterNotFound,
    ClusterRejected,
    ClusterUnavailable,
)

Object = dict[str, Any]

_loaders: Any = kube_config  # carries no types

USER_AGENT = "genai-operator"
# Each TLS connection costs memory; more than the machine has cores for brings nothing.
_CONNECTIONS = 24
_MESSAGE_LIMIT = 1000
_LONGEST_PAUSE = 60.0

# With a parameter, or the library would write the body itself, and as JSON that is no YAML.
_APPLY = "application/apply-patch+yaml; charset=utf-8"
# What YAML does not take as it is, or takes for the end of a line, but takes escaped.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and where the API server serves it."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL's path; every part is escaped."""
        root = "/apis/" if "/" in self.api_version else "/api/"
        parts = ("namespaces" if namespace else "", namespace, self.plural, name, subresource)
        return root + self.api_version + "".join(f"/{quote(part, safe='')}" for part in parts if part)


MODEL = Resource(API_VERSION, KIND, PLURAL)
PROFILE = Resource(API_VERSION, PROFILE_KIND, PROFILE_PLURAL)
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
SERVICE = Resource("v1", "Service", "services")
SERVICE_ACCOUNT = Resource("v1", "ServiceAccount", "serviceaccounts")
SECRET = Resource("v1", "Secret", "secrets")
DISRUPTION_BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
HORIZONTAL_AUTOSCALER = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
# KEDA's, which need not be installed: it is not watched, for there may be nothing to watch.
SCALED_OBJECT = Resource("keda.sh/v1alpha1", "ScaledObject", "scaledobjects")
POD = Resource("v1", "Pod", "pods")
EVENT = Resource("v1", "Event", "events")
JOB = Resource("batch/v1", "Job", "jobs")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

_BY_KIND = {
    (each.api_version, each.kind): each
    for each in (
        MODEL,
        PROFILE,
        DEPLOYMENT,
        SERVICE,
        SERVICE_ACCOUNT,
        SECRET,
        DISRUPTION_BUDGET,
        HORIZONTAL_AUTOSCALER,
        SCALED_OBJECT,
        POD,
        EVENT,
        JOB,
        LEASE,
    )
}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The resource that serves this manifest.

    Raises:
        ClusterRejected: a kind that the operator does not handle.
    """
    key = (str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
    try:
        return _BY_KIND[key]
    except KeyError:
        raise ClusterRejected(f"{key[1]} of {key[0]} is not a kind this operator handles") from None


def child_resource(kind: str) -> Resource:
    """The resource of one of the kinds that models have as children; their names are unique among ours."""
    return next(each for each in _BY_KIND.values() if each.kind == kind)


async def load_configuration() -> Configuration:
    """Credentials of the pod's service account, else of the kubeconfig (`$KUBECONFIG` or `~/.kube/config`).

    Raises:
        ClusterRejected: neither is there.
    """
    configuration = Configuration()
    try:
        if environ.get("KUBERNETES_SERVICE_HOST") and not environ.get("KUBECONFIG"):
            _loaders.load_incluster_config(client_configuration=configuration)
        else:
            path = environ.get("KUBECONFIG")
            await _loaders.load_kube_config(config_file=path, client_configuration=configuration)
    except (kube_config.ConfigException, OSError) as error:
        raise ClusterRejected(f"no credentials for the API server: {error}; set KUBECONFIG or run in a pod") from error
    return configuration


class KubeClient:
    """Requests to the API server. One instance, one connection pool, for the life of the process."""

    def __init__(self, configuration: Configuration, *, timeout_seconds: float = 30.0) -> None:
        self.configuration = configuration
        configuration.connection_pool_maxsize = _CONNECTIONS
        # Else aiohttp asks threads for a proxy and for .netrc before every request; kopf's session does neither.
        configuration.client_session_kwargs = {"trust_env": False}
        self._rest: Any = RESTClientObject(configuration)  # its methods carry no types
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @classmethod
    async def connect(cls) -> Self:
        """A client with the credentials of the pod or of the kubeconfig."""
        return cls(await load_configuration())

    async def close(self) -> None:
        """Closes all connections."""
        await self._rest.close()

    async def apply(
        self, manifest: Mapping[str, Any], *, manager: str = MANAGER, force: bool = True, subresource: str = ""
    ) -> Object:
        """Server-side apply; returns the object as stored.

        Raises:
            ClusterConflict: without `force`, another manager owns one of the fields.
            ClusterError: anything else the API server has against it.
        """
        metadata = manifest["metadata"]
        path = resource_of(manifest).path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._json("PATCH", path, query, as_yaml(manifest), _APPLY)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self._json("GET", resource.path(namespace, name))
        except ClusterNotFound:
            return None

    async def list(
        self, resource: Resource, namespace: str, selector: str = "", *, page: int = 250
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """All objects of a kind in one snapshot, page by page, each page with the snapshot's version.

        An empty namespace lists the whole cluster.
        """
        query = {"limit": str(page)} | ({"labelSelector": selector} if selector else {})
        while True:
            answer = await self._json("GET", resource.path(namespace), query)
            metadata = answer.get("metadata", {})
            yield answer.get("items") or [], str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def served(self, resource: Resource, namespace: str = "") -> bool:
        """Whether the API server announces this kind by now, and lists it."""
        group, _, version = resource.api_version.rpartition("/")
        try:
            if group:  # the list of groups is made by another part of the API server, a moment later
                groups = (await self._json("GET", "/apis")).get("groups") or ()
                if group not in (each.get("name") for each in groups):
                    return False
            kinds = await self._json("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
            if resource.plural not in (each.get("name") for each in kinds.get("resources") or ()):
                return False
            await self._json("GET", resource.path(namespace), {"limit": "1"})
        except ClusterNotFound:
            return False
        return True

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """Creates; ClusterConflict when the name is taken."""
        path = resource_of(manifest).path(manifest["metadata"]["namespace"])
        return await self._json("POST", path, {"fieldManager": MANAGER}, manifest)

    async def replace(self, manifest: Mapping[str, Any]) -> Object:
        """Replaces; ClusterConflict when it changed since `metadata.resourceVersion`."""
        metadata = manifest["metadata"]
        path = resource_of(manifest).path(metadata["namespace"], metadata["name"])
        return await self._json("PUT", path, {"fieldManager": MANAGER}, manifest)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> None:
        """Deletes in the background; an object that is not there, or by now another one (`uid`), is no error."""
        options: Object = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._json("DELETE", resource.path(namespace, name), None, options)
        except (ClusterNotFound, ClusterConflict):
            return

    async def watch(
        self, resource: Resource, namespace: str, name: str, *, seconds: int, silence: float
    ) -> AsyncIterator[Object]:
        """Watch events of one object, the present state first. Ends after `seconds`, or when the connection does.

        Raises:
            ClusterError: the connection broke, or nothing came for `silence` seconds.
        """
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(seconds)}
        limits = aiohttp.ClientTimeout(total=seconds + 30, sock_connect=10, sock_read=silence)
        response = await self._send("GET", resource.path(namespace), query, None, "application/json", limits)
        try:
            async for line in response.response.content:
                yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(f"watch of {resource.kind} {namespace}/{name} broke: {error!r}") from error
        finally:
            response.response.close()

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | str | None = None,
        content_type: str = "application/json",
    ) -> Object:
        response = await self._send(method, path, query, body, content_type, self._timeout)
        try:
            answer = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ClusterUnavailable(f"{method} {path}: the answer broke off: {error!r}") from error
        return answer if isinstance(answer, dict) else {}

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | str | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> Any:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": USER_AGENT}
        token = await self.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._rest.request(method, url, headers=headers, body=body, _request_timeout=limits)
            if response.status < HTTPStatus.BAD_REQUEST:
                return response
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(f"{method} {path}: no answer from the API server: {error!r}") from error
        pause = retry_after(response.headers.get("Retry-After", ""))
        raise _error(response.status, f"{method} {path}", text, pause)


def as_yaml(manifest: Mapping[str, Any]) -> str:
    """JSON that is YAML as well: JSON writes what lies beyond U+FFFF as two escapes, which YAML does not know."""
    text = json.dumps(manifest, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def retry_after(header: str) -> float:
    """Seconds that a `Retry-After` asks for, bounded; 0 where it is not there or is a date (API servers send none)."""
    try:
        return min(max(float(header), 0.0), _LONGEST_PAUSE)
    except ValueError:
        return 0.0


def _error(status: int, request: str, body: bytes, pause: float) -> ClusterError:
    """The API server's answer as one of our errors, with its own message."""
    try:
        message = str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        message = body.decode("utf-8", "replace")
    said = message[:_MESSAGE_LIMIT]
    text = f"{request}: {status} {said}"
    if status == HTTPStatus.NOT_FOUND:
        return ClusterNotFound(text, said=said)
    if status == HTTPStatus.CONFLICT:
        return ClusterConflict(text, said=said)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ClusterUnavailable(text, said=said, retry_after=pause)
    return ClusterRejected(text, said=said)
