"""Many requests at once to the API server of a control plane: kubectl takes a tenth of a second for each."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from support.control_plane import ControlPlane

Object = dict[str, Any]
Answer = tuple[int, Object]

_AT_ONCE = 16
_GROUP = "/apis/genai-operator.io/v1alpha1"


class ApiRequests:
    """The administrator's requests, in one namespace."""

    def __init__(self, session: aiohttp.ClientSession, url: str, namespace: str) -> None:
        self._session = session
        self._url = url
        self.namespace = namespace

    async def create_models(self, bodies: Iterable[Object], *, dry: bool = False) -> list[Answer]:
        """The status and the answer to each; `dry`: nothing is stored. Unknown fields are refused."""
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry else {})}
        path = f"{_GROUP}/namespaces/{self.namespace}/genaimodels"
        gate = asyncio.Semaphore(_AT_ONCE)

        async def create(body: Object) -> Answer:
            async with gate, self._session.post(self._url + path, params=query, json=body) as answer:
                return answer.status, await answer.json()

        return await asyncio.gather(*(create(body) for body in bodies))

    async def items(self, api: str, plural: str) -> list[Object]:
        """All objects of a kind in the namespace; `api` as in `/api/v1` or `/apis/apps/v1`."""
        async with self._session.get(f"{self._url}{api}/namespaces/{self.namespace}/{plural}") as answer:
            answer.raise_for_status()
            return list((await answer.json())["items"])

    async def models(self) -> list[Object]:
        """All GenAIModels in it."""
        return await self.items(_GROUP, "genaimodels")


@asynccontextmanager
async def api_requests(plane: ControlPlane, namespace: str) -> AsyncIterator[ApiRequests]:
    """Requests while the context is open. The namespace must exist."""
    keys = plane.folder / "pki"
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(str(keys / "admin.crt"), str(keys / "admin.key"))
    connector = aiohttp.TCPConnector(ssl=context, limit=_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield ApiRequests(session, plane.url, namespace)
