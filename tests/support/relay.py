"""What a Service of a cluster does for connections: each new one goes to the next of the servers that are Ready."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress


class Relay:
    """One port of loopback. `ports` are those of the servers, and may be changed at any time."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.port = 0
        self._count = 0

    @asynccontextmanager
    async def running(self, ports: Iterable[int]) -> AsyncIterator[None]:
        """Serves until the block ends."""
        self.ports = list(ports)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        async with server:
            yield

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        port = self.ports[self._count % len(self.ports)]
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side closes; then so does the other."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
