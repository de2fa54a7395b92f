"""Runs kopf and the services side by side in one event loop, and ends both when either ends."""

import asyncio
import signal
from typing import Any

import kopf
import structlog
from aiohttp import ClientError
from kopf._cogs.clients.errors import APIError
from kopf._cogs.clients.watching import WatchingError

from genai_operator.errors import OperatorError
from genai_operator.handlers.configuration import NoMemories, build_kopf_settings, connection_info
from genai_operator.handlers.events import build_registry
from genai_operator.handlers.http import serve_http
from genai_operator.services.container import Container
from genai_operator.services.resync import watched
from genai_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class WatchLost(OperatorError):
    """The API server refuses to be watched. Blind is worse than not running: a new start looks at everything again."""


async def serve(settings: OperatorSettings) -> None:
    """The operator, until SIGTERM.

    Raises:
        OperatorError: it cannot start, lost its lease, or a watch.
    """
    container = await Container.build(settings)
    try:
        http = serve_http(settings.health_host, settings.health_port, container.registry, container.ailments)
        async with http:
            if await _served(container):
                await _both(container)
    finally:
        await container.close()


async def _served(container: Container) -> bool:
    """Waits until there is something to watch; False when the process was asked to end meanwhile."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in _END_SIGNALS:  # kopf has not started, and the first process of a container has no default for them
        loop.add_signal_handler(number, stop.set)
    waits = [asyncio.create_task(container.until_served()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for number in _END_SIGNALS:
            loop.remove_signal_handler(number)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return not stop.is_set()


async def _both(container: Container) -> None:
    stop = asyncio.Event()
    work = asyncio.create_task(container.run(), name="services")
    work.add_done_callback(lambda _: stop.set())
    try:
        await _kopf(container, stop)
    except (APIError, WatchingError, ClientError) as error:
        hint = "is the CRD still installed, and the operator's role?"
        raise WatchLost(f"the API server refuses a watch: {error}; {hint}") from error
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
        registry=build_registry(container.observe, login, watched(container.settings.autoscalers)),
        settings=build_kopf_settings(),
        memories=NoMemories(),
        stop_flag=stop,
        # kopf would ask for the name of the process's user, which an image need not have.
        identity=kopf_identity,
        standalone=True,
        **scope,
    )
