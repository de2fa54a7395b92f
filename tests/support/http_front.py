"""The HTTP port of a front inside the test: scripted or with the real engine, and clients for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai

from genai_runtime.engine.protocol import FEATURES, ModelInfo
from support.hello_server import HelloServer, hello_server
from support.ports import free_port
from support.runtime import INFO, Front, ScriptedEngine, holds, running_front


class AbleEngine(ScriptedEngine):
    """A scripted engine that is said to know every option."""

    async def start(self) -> ModelInfo:
        """As the base, with all features."""
        await super().start()
        return replace(INFO, features=sorted(FEATURES), context_length=4096, max_sequence_length=4096)


class HttpFront:
    """A front with an HTTP port."""

    def __init__(self, front: Front, port: int) -> None:
        self.front = front
        self.engine = front.engine
        self.port = port
        self.base = f"http://127.0.0.1:{port}"

    def web(self, **options: Any) -> httpx2.AsyncClient:
        """A plain client."""
        return httpx2.AsyncClient(base_url=self.base, timeout=30, **options)


def openai_client(base: str, **options: Any) -> Any:
    """OpenAI's own client, which does not retry unless told to; untyped, for tests send what its types forbid."""
    return openai.AsyncOpenAI(base_url=f"{base}/v1", **{"api_key": "unused", "max_retries": 0, **options})


@asynccontextmanager
async def http_front(tmp_path: Path, *, template: str = "", **changes: Any) -> AsyncIterator[HttpFront]:
    """With a scripted engine."""
    if template:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "chat_template.jinja").write_text(template)
    port = free_port()
    wait = changes.pop("wait", True)
    async with running_front(tmp_path, wait=False, **{"engine": AbleEngine(), "http_port": port, **changes}) as front:
        if wait:
            await holds(lambda: front.server.state.ready)
        yield HttpFront(front, port)


@asynccontextmanager
async def hello_http(tmp_path: Path, **changes: Any) -> AsyncIterator[tuple[HelloServer, str]]:
    """With the hello model and the real engine; the second is the port's URL."""
    port = free_port()
    async with hello_server(tmp_path, http_port=port, **changes) as hello:
        yield hello, f"http://127.0.0.1:{port}"
