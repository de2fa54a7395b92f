"""The least that turns an edit into its child: kopf's events, a queue, one apply. No checks, no status, no drift.

What an edit costs without anything of ours depends on the machine, and is mostly the API server's work. `control.py`
measures both in one run, so that the operator can be judged on any machine. Ended by SIGTERM.
"""

import asyncio
from typing import Any

import kopf
import uvloop

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.deployment import deployment
from genai_operator.clients.kube import MODEL, KubeClient
from genai_operator.handlers.configuration import build_kopf_settings, connection_info
from genai_operator.settings import OperatorSettings

WORKERS = 16


async def work(kube: KubeClient, queue: asyncio.Queue[dict[str, Any]]) -> None:
    """Applies the Deployments of the models that are put on the queue."""
    settings = OperatorSettings()
    while True:
        model = GenAIModel.from_body(await queue.get())
        await kube.apply(deployment(model, settings))


async def serve() -> None:
    """Watches all models; a model that was edited gets its Deployment applied."""
    kube = await KubeClient.connect()
    registry = kopf.OperatorRegistry()
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    group, _, version = MODEL.api_version.rpartition("/")

    @kopf.on.event(group, version, MODEL.plural, registry=registry, id="observe")
    async def observe(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] == "MODIFIED":
            queue.put_nowait(dict(event["object"]))

    @kopf.on.login(registry=registry, id="login")
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await connection_info(kube.configuration)

    workers = [asyncio.create_task(work(kube, queue)) for _ in range(WORKERS)]
    try:
        await kopf.operator(registry=registry, settings=build_kopf_settings(), clusterwide=True, standalone=True)
    finally:
        for worker in workers:
            worker.cancel()
        await kube.close()


if __name__ == "__main__":
    uvloop.run(serve())
