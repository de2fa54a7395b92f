"""Sections that measure behaviour rather than speed: who waits for whom, what is reused, who is answered meanwhile.

All of it over gRPC, on one server of ours with 16 rows. Ends before time are `endings.py`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.serving.arena import OURS, Arena
from bench.serving.clients import GrpcClient
from bench.serving.contestants import ROWS, SERVICE, Ours
from bench.serving.loads import random_prompt
from bench.serving.streams import Stream
from support.bench import percentile

SHORT = 32
_ENDLESS = 3000  # new tokens of a stream that is not meant to end by itself
_HEALTH_PAUSE = 0.01


class Live:
    """A request of which the tokens are noted while it runs."""

    def __init__(self, client: GrpcClient, prompt: list[int], count: int, **options: Any) -> None:
        self.stream = Stream(time.perf_counter())
        self.call = client.call(prompt, count, **options)
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def tokens(self, count: int) -> None:
        """Waits for so many. Raises what ended the stream, if it ended sooner."""
        while self.stream.tokens < count:
            if self._task.done():
                await self._task
                raise RuntimeError(f"the stream ended after {self.stream.tokens} of {count} tokens")
            self._more.clear()
            await self._more.wait()

    @property
    def running(self) -> bool:
        return not self._task.done()

    async def end(self) -> None:
        """Cancels it and waits for that."""
        self.call.cancel()
        await self.finished()

    async def finished(self) -> None:
        """Waits for its end, whatever that is."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self.call:
                if message.HasField("chunk") and message.chunk.token_ids:
                    self.stream.arrivals.append((time.perf_counter(), len(message.chunk.token_ids)))
                    self._more.set()
        finally:
            self._more.set()


@asynccontextmanager
async def asked(server: Ours) -> AsyncIterator[GrpcClient]:
    """A client of the server."""
    client = GrpcClient(server.grpc_address)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def streaming(client: GrpcClient, source: random.Random, count: int) -> AsyncIterator[list[Live]]:
    """So many streams that run on, each past its first tokens."""
    lives = [Live(client, random_prompt(source, SHORT), _ENDLESS) for _ in range(count)]
    try:
        for each in lives:
            await each.tokens(8)
        yield lives
    finally:
        for each in lives:
            await each.end()


async def joining(arena: Arena, number: int, repeats: int) -> None:
    """The longest gap of four running streams while an 800-token prompt joins them."""
    source = random.Random(f"join {number}")
    with arena.noting("joining"), arena.turn(arena.ours):
        async with asked(arena.ours) as client:
            for _ in range(repeats):
                async with streaming(client, source, 4) as lives:
                    joiner = Live(client, random_prompt(source, 800), 4)
                    await joiner.tokens(1)
                    window = joiner.stream.sent, joiner.stream.first
                    gap = max(each.stream.longest_gap(*window) for each in lives) * 1000
                    first = joiner.stream.first_token_seconds * 1000
                    await joiner.end()
                arena.add(number, "join", OURS, gap_ms=gap, joiner_first_token_ms=first)


async def shared_prefix(arena: Arena, number: int, repeats: int) -> None:
    """Two requests with the same first 400 tokens and eight of their own, one after the other."""
    source = random.Random(f"prefix {number}")
    with arena.noting("shared prefix"), arena.turn(arena.ours):
        async with asked(arena.ours) as client:
            await client.stream(random_prompt(source, SHORT), 16)
            for _ in range(repeats):
                prefix = random_prompt(source, 400)
                first, second = [
                    (await client.stream(prefix + random_prompt(source, 8), 2)).first_token_seconds for _ in range(2)
                ]
                arena.add(number, "prefix", OURS, first_ms=first * 1000, second_ms=second * 1000, ratio=second / first)


async def health(arena: Arena, number: int) -> None:
    """How soon a health Check is answered while 15 streams run and a 4000-token prompt is computed."""
    source = random.Random(f"health {number}")
    with arena.noting("health"), arena.turn(arena.ours):
        async with asked(arena.ours) as client, grpc.aio.insecure_channel(arena.ours.grpc_address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            await stub.Check(request)
            async with streaming(client, source, ROWS - 1) as lives:
                long = Live(client, random_prompt(source, 4000), 4)
                found = []
                while long.running and not long.stream.arrivals:
                    began = time.perf_counter()
                    await stub.Check(request)
                    found.append((time.perf_counter() - began) * 1000)
                    await asyncio.sleep(_HEALTH_PAUSE)
                await long.tokens(1)
                assert all(each.running for each in lives), "a stream ended before the prefill did"
                await long.end()
            arena.add(number, "health", OURS, checks=len(found), p50_ms=median(found), p99_ms=percentile(found, 0.99))
