"""The API server, as a kubeconfig names it: objects as plain dicts, errors as `CommandFailed`.

Only the few calls that commands need. The `kubernetes` package is imported here at the first connection: it takes most
of a second, which --help and completion do not wait for.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from genai_kubectl.decisions.refusals import refusal
from genai_kubectl.errors import CommandFailed
from genai_kubectl.names import GROUP, LABEL_MODEL, MODEL_KIND, MODELS, PROFILE_KIND, PROFILES, VERSION

Object = dict[str, Any]
_SECONDS = 30.0
_MERGE_PATCH = "application/merge-patch+json"
_KINDS = {MODELS: MODEL_KIND, PROFILES: PROFILE_KIND}
_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Kube:
    """One namespace of one cluster, with the rights of one user."""

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        self.core: Any = client.CoreV1Api(api)
        self._custom: Any = client.CustomObjectsApi(api)
        # To open a websocket replaces a method of its API client for a moment: one of its own, one at a time.
        self.websockets: Any = client.CoreV1Api(client.ApiClient(api.configuration))
        self.opening = threading.Lock()

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str = "", namespace: str = "") -> Self:
        """By a kubeconfig, else by the pod's own account.

        Raises:
            CommandFailed: there is no kubeconfig, it cannot be read, or it has no such context.
        """
        from kubernetes import client

        config: Any = import_module("kubernetes.config")  # its functions carry no types

        config_file = str(kubeconfig) if kubeconfig else None
        try:
            if kubeconfig is None and _in_cluster():
                config.load_incluster_config()
                return cls(client.ApiClient(), namespace or _ACCOUNT_NAMESPACE.read_text().strip())
            contexts, active = config.list_kube_config_contexts(config_file=config_file)
            chosen = next((each for each in contexts if each["name"] == context), None) if context else active
            if chosen is None:
                names = ", ".join(sorted(str(each["name"]) for each in contexts))
                raise CommandFailed(f"the kubeconfig has no context {context!r}; it has {names}")
            api = config.new_client_from_config(config_file=config_file, context=context or None)
        except (config.ConfigException, OSError, ValueError) as error:
            raise CommandFailed(f"cannot use the kubeconfig: {error}; name one by --kubeconfig or KUBECONFIG") from None
        return cls(api, namespace or chosen["context"].get("namespace") or "default")

    # -- models and profiles -----------------------------------------------------------------------------------------

    def get(self, plural: str, name: str) -> Object:
        """One object. Raises `NotFound`."""
        with telling(f"get {_KINDS[plural]} {name!r} in namespace {self.namespace}", _KINDS[plural]):
            found: Object = self._custom.get_namespaced_custom_object(*self._of(plural), name, **_bounded())
            return found

    def find(self, plural: str, *, everywhere: bool = False) -> list[Object]:
        """All objects of a kind, in the namespace or in all."""
        with telling(f"list {plural}", _KINDS[plural]):
            found = (
                self._custom.list_cluster_custom_object(GROUP, VERSION, plural, **_bounded())
                if everywhere
                else self._custom.list_namespaced_custom_object(*self._of(plural), **_bounded())
            )
            return list(found["items"])

    def create(self, plural: str, manifest: Mapping[str, Any]) -> Object:
        """Creates; the API server says what is wrong with it."""
        with telling(f"create {_KINDS[plural]} in namespace {self.namespace}", _KINDS[plural]):
            made: Object = self._custom.create_namespaced_custom_object(
                *self._of(plural),
                dict(manifest),
                field_manager="kubectl-genai",
                field_validation="Strict",
                **_bounded(),
            )
            return made

    def patch(self, plural: str, name: str, patch: Mapping[str, Any]) -> Object:
        """A JSON merge patch."""
        with telling(f"change {_KINDS[plural]} {name!r} in namespace {self.namespace}", _KINDS[plural]):
            changed: Object = self._custom.patch_namespaced_custom_object(
                *self._of(plural),
                name,
                dict(patch),
                field_manager="kubectl-genai",
                _content_type=_MERGE_PATCH,
                **_bounded(),
            )
            return changed

    def annotate(self, name: str, annotations: Mapping[str, str | None]) -> Object:
        """Sets annotations of a model; None removes one."""
        return self.patch(MODELS, name, {"metadata": {"annotations": dict(annotations)}})

    def delete(self, plural: str, name: str) -> None:
        """Deletes without waiting."""
        with telling(f"delete {_KINDS[plural]} {name!r} in namespace {self.namespace}", _KINDS[plural]):
            self._custom.delete_namespaced_custom_object(*self._of(plural), name, **_bounded())

    def _of(self, plural: str) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, plural

    # -- pods --------------------------------------------------------------------------------------------------------

    def pods(self, model: str) -> list[Object]:
        """The model's pods that are not being deleted, by name."""
        with telling(f"list the pods of {model!r} in namespace {self.namespace}"):
            selector = f"{LABEL_MODEL}={model}"
            items = _items(self.core.list_namespaced_pod, self.namespace, label_selector=selector)
        living = [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]
        return sorted(living, key=lambda pod: str(pod["metadata"]["name"]))

    def pod(self, name: str) -> Object:
        """One pod. Raises `NotFound`."""
        with telling(f"get pod {name}"):
            answer = self.core.read_namespaced_pod(name, self.namespace, _preload_content=False, **_bounded())
            found: Object = json.loads(answer.data)
            return found

    def create_pod(self, manifest: Mapping[str, Any]) -> Object:
        """Creates one; the API server says what is wrong with it."""
        with telling(f"create a pod in namespace {self.namespace}"):
            answer = self.core.create_namespaced_pod(
                self.namespace, dict(manifest), _preload_content=False, **_bounded()
            )
            made: Object = json.loads(answer.data)
            return made

    def delete_pod(self, name: str) -> None:
        """Deletes one without waiting."""
        with telling(f"delete pod {name}"):
            self.core.delete_namespaced_pod(name, self.namespace, _preload_content=False, **_bounded())

    def events(self) -> list[Object]:
        """The namespace's events, the oldest first."""
        with telling(f"list events in namespace {self.namespace}"):
            items = _items(self.core.list_namespaced_event, self.namespace)
        return sorted(items, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def log(self, pod: str, *, previous: bool, lines: int) -> str:
        """The last lines of the model's container, or of the one before it."""
        with telling(f"read the log of pod {pod}"):
            answer = self.core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container="model",
                previous=previous,
                tail_lines=lines,
                _preload_content=False,
                **_bounded(),
            )
            return bytes(answer.data).decode(errors="replace")

    def pod_page(self, pod: str, port: int, path: str) -> str:
        """What a pod answers to GET, through the API server."""
        with telling(f"read port {port} of pod {pod}"):
            answer = self.core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{port}", self.namespace, path, _preload_content=False, **_bounded()
            )
            return bytes(answer.data).decode(errors="replace")


def _in_cluster() -> bool:
    default = Path.home() / ".kube" / "config"
    return "KUBECONFIG" not in os.environ and not default.exists() and _ACCOUNT_NAMESPACE.exists()


def _bounded() -> dict[str, Any]:
    return {"_request_timeout": _SECONDS}


def _items(list_objects: Callable[..., Any], namespace: str, **selection: str) -> list[Object]:
    answer = list_objects(namespace, _preload_content=False, **selection, **_bounded())
    found: list[Object] = json.loads(answer.data)["items"]
    return found


@contextmanager
def telling(tried: str, kind: str = "Pod") -> Iterator[None]:
    """Turns the libraries' errors into ours."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError
    from websocket import WebSocketBadStatusException

    try:
        yield
    except ApiException as error:
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
        opening = error.__context__
        if isinstance(opening, WebSocketBadStatusException):
            said = (opening.resp_body or b"").decode(errors="replace")
            raise refusal(opening.status_code, said, tried, kind) from None
        if not error.status:
            raise CommandFailed(f"could not {tried}: {error.reason}") from None
        raise refusal(int(error.status), body, tried, kind) from None
    except HTTPError as error:
        why = getattr(error, "reason", None) or error
        raise CommandFailed(f"could not {tried}: the API server cannot be reached: {why}") from None
