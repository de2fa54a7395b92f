"""kopf's low-level event handlers: each event goes into the cache, and the key of what it concerns on the queue.

No stateful handler, timer, daemon or delete handler may be added: they write kopf's own annotations and finalizers into
users' objects. A test holds that.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import kopf

from genai_operator.clients.kube import Resource
from genai_operator.services.resync import WATCHED

# Takes a resource, the event's type (None: of an initial listing) and the object.
Observe = Callable[[Resource, str | None, dict[str, Any]], None]


def build_registry(
    observe: Observe, login: Callable[[], Awaitable[kopf.ConnectionInfo]], watched: Iterable[Resource] = WATCHED
) -> kopf.OperatorRegistry:
    """All handlers of the operator; `watched` is a part of WATCHED."""
    registry = kopf.OperatorRegistry()
    for resource in watched:
        _watch(registry, resource, observe)

    @kopf.on.login(registry=registry, id="login")
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    return registry


def _watch(registry: kopf.OperatorRegistry, resource: Resource, observe: Observe) -> None:
    group, _, version = resource.api_version.rpartition("/")

    @kopf.on.event(group, version, resource.plural, registry=registry, id=f"observe-{resource.plural}")
    async def observe_event(event: kopf.RawEvent, **_: Any) -> None:
        observe(resource, event["type"], event["object"])  # type: ignore[arg-type]  # a plain dict, typed narrower
