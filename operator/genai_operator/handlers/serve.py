"""Runs kopf and the services side by side in one event loop, and ends both when either ends."""

import asyncio
from typing import Any

import kopf
import structlog

from genai_operator.handlers.configuration import NoMemories, build_kopf_settings, connection_info
from genai_operator.handlers.events import build_registry
from genai_operator.handlers.http import serve_http
from genai_operator.services.container import Container
from genai_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)


async def serve(settings: OperatorSettings) -> None:
    """The operator, until SIGTERM.

    Raises:
        OperatorError: it cannot start, or lost its lease.
    """
    container = await Container.build(settings)
    try:
        http = serve_http(settings.health_host, settings.health_port, container.registry, container.ailments)
        async with http:
            await container.until_served()
            await _both(container)
    finally:
        await container.close()


async def _both(container: Container) -> None:
    stop = asyncio.Event()
    work = asyncio.create_task(container.run(), name="services")
    work.add_done_callback(lambda _: stop.set())
    try:
        await _kopf(container, stop)
    finally:
        work.cancel()
        ended = (await asyncio.gather(work, return_exceptions=True))[0]
    if isinstance(ended, BaseExceptionGroup):
        raise ended.exceptions[0]
    if isinstance(ended, Exception):
        raise ended


async def _kopf(container: Container, stop: asyncio.Event) -> None:
    async def login() -> kopf.ConnectionInfo:
        return await connection_info(container.kube.configuration)

    scope: dict[str, Any] = (
        {"namespaces": container.settings.namespaces} if container.settings.namespaces else {"clusterwide": True}
    )
    kopf_identity: Any = container.settings.identity  # its type is not public
    await kopf.operator(
        registry=build_registry(container.observe, login),
        settings=build_kopf_settings(),
        memories=NoMemories(),
        stop_flag=stop,
        # kopf would ask for the name of the process's user, which an image need not have.
        identity=kopf_identity,
        standalone=True,
        **scope,
    )
