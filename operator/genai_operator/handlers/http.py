"""`/healthz` for the kubelet and `/metrics` for Prometheus. What healthy means is decided by the services."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_SHUTDOWN_SECONDS = 1.0


@asynccontextmanager
async def serve_http(
    host: str, port: int, registry: CollectorRegistry, ailments: Callable[[], list[str]]
) -> AsyncIterator[None]:
    """Serves while the context is open. `ailments` says what is wrong; an empty list is 200, anything else 503."""

    async def healthz(_: web.Request) -> web.Response:
        found = ailments()
        return web.json_response({"ok": not found, "ailments": found}, status=503 if found else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
