"""Sections about requests that end before their time: how soon their row serves another, and that nothing is left.

A row is free when a request that waited for it has its first token: freeing it and the two runs of the other request.
"""

import asyncio
import itertools
import random
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Protocol

from bench.serving import contestants
from bench.serving.arena import OURS, THREADS, Arena
from bench.serving.behaviour import Live, asked, streaming
from bench.serving.clients import GrpcClient
from bench.serving.contestants import ROWS, Ours
from bench.serving.loads import random_prompt
from genai_protocol.v1 import inference_pb2

HELLO = Path(__file__).parents[3] / "examples" / "hello-model" / "model"
_ENDLESS = 3000
# (state, prompt, seconds after which it ends): with 15 other rows a long prompt is still being computed by then
_STATES = (("decode", 32, 1.0), ("prefill", 3000, 0.6))
_AHEAD = 0.25  # seconds that the other request already waits
_MARGIN = 0.1  # before a deadline: the server acts ahead of it
_CANCELLED_AT_MOST = 20  # tokens
_SETTLING = 0.1  # of all cancels, before memory is looked at first


class Victim(Protocol):
    """A request that takes the last row and will end before its time."""

    async def start(self, server: Ours, client: GrpcClient, prompt: list[int], seconds: float) -> None: ...

    async def end(self) -> float:
        """Ends it, `seconds` after the start; when that was."""
        ...


class Cancelled:
    """Its client cancels."""

    async def start(self, server: Ours, client: GrpcClient, prompt: list[int], seconds: float) -> None:
        self._live = Live(client, prompt, _ENDLESS)

    async def end(self) -> float:
        ended = time.perf_counter()
        await self._live.end()
        return ended


class PastDeadline:
    """Its deadline comes. The server ends it a little sooner, to tell the client why."""

    async def start(self, server: Ours, client: GrpcClient, prompt: list[int], seconds: float) -> None:
        self._live = Live(client, prompt, _ENDLESS, timeout=seconds)
        self._end = self._live.stream.sent + seconds

    async def end(self) -> float:
        await self._live.finished()
        return min(self._end, time.perf_counter())


class Broken:
    """Its client is killed, and its connection with it."""

    async def start(self, server: Ours, client: GrpcClient, prompt: list[int], seconds: float) -> None:
        arguments = ["-m", "bench.serving.victim", server.grpc_address, str(_ENDLESS), *map(str, prompt)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe)
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise RuntimeError("the client that is to be killed did not start")

    async def end(self) -> float:
        ended = time.perf_counter()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
        return ended


ENDINGS: dict[str, type[Cancelled | PastDeadline | Broken]] = {
    "cancel": Cancelled,
    "deadline": PastDeadline,
    "broken connection": Broken,
}


async def freed_rows(arena: Arena, number: int, repeats: int) -> None:
    """All 16 rows are taken and a request waits; one of the 16 ends."""
    source = random.Random(f"freed {number}")
    for (name, victim), (state, prompt, seconds) in itertools.product(ENDINGS.items(), _STATES):
        with arena.noting(f"row freed by {name} in {state}"), arena.turn(arena.ours):
            async with asked(arena.ours) as client:
                for _ in range(repeats):
                    tokens = random_prompt(source, prompt)
                    freed, run = await _freed(arena.ours, client, source, victim(), tokens, seconds)
                    arena.add(number, "freed", OURS, ending=name, state=state, freed_ms=freed, run_ms=run)


async def _freed(
    server: Ours, client: GrpcClient, source: random.Random, victim: Victim, prompt: list[int], seconds: float
) -> tuple[float, float]:
    """Milliseconds to the waiting request's first token, and of one run of the 15 others."""
    async with streaming(client, source, ROWS - 1) as lives:
        # a message has the tokens of several runs
        gaps = [
            (later - earlier) / count
            for each in lives
            for (earlier, _), (later, count) in pairwise(each.stream.arrivals[-8:])
        ]
        await victim.start(server, client, prompt, seconds)
        try:
            await asyncio.sleep(seconds - _AHEAD)
            waiting = Live(client, random_prompt(source, 8), 1)
            await asyncio.sleep(_AHEAD - _MARGIN)
        finally:
            ended = await victim.end()
        await waiting.tokens(1)
        if waiting.stream.first <= ended or not all(each.running for each in lives):
            raise RuntimeError("a row was free before the request that was to free it had ended")
        return (waiting.stream.first - ended) * 1000, median(gaps) * 1000


async def killed(arena: Arena, number: int) -> None:
    """The engine process is killed under 16 streams, on the small example model: until the last one has ended."""
    with arena.noting("engine killed"), contestants.ours("hello", HELLO, THREADS) as server:
        async with asked(server) as client:
            source = random.Random(f"killed {number}")
            lives = [Live(client, source.choices(range(16, 1000), k=8), _ENDLESS, ignore_eos=True) for _ in range(ROWS)]
            for each in lives:
                await each.tokens(8)
            began = time.perf_counter()
            server.engine.kill()
            await asyncio.gather(*(each.finished() for each in lives))
            ended = time.perf_counter()
            codes = {(await each.call.code()).name for each in lives}
            await _served_again(client)
            again = time.perf_counter()
            figures = {"ended_ms": (ended - began) * 1000, "served_again_ms": (again - began) * 1000}
            arena.add(number, "killed", "hello", codes=sorted(codes), **figures)


async def _served_again(client: GrpcClient) -> None:
    """Waits until a new request has a token."""
    async with asyncio.timeout(60):
        while True:
            live = Live(client, list(range(16, 24)), 1, ignore_eos=True)
            await live.finished()
            if live.stream.arrivals:
                return
            await asyncio.sleep(0.02)


async def cancels(arena: Arena, number: int, count: int) -> None:
    """Cancels at random tokens, 16 at a time, on the small example model: rows, streams and memory afterwards."""
    with arena.noting("cancels"), contestants.ours("hello", HELLO, THREADS) as server:
        async with asked(server) as client:
            source = random.Random(f"cancels {number}")
            settling = int(count * _SETTLING)
            await _cancel(client, source, settling)
            # A row's part of the KV cache is memory once it is used: all rows are, before growth is told from it.
            await _rows_at_once(client, source)
            before = _memory(server)
            await _cancel(client, source, count - settling)
            streams = await _left(client)
            growth = max(0.0, _memory(server) / before - 1) * 100
            rows = ROWS - await _rows_at_once(client, source)
            figures = {"rss_mib": before / 2**20, "rss_growth_pct": growth}
            arena.add(number, "cancels", "hello", count=count, leaked_streams=streams, leaked_rows=rows, **figures)


async def _cancel(client: GrpcClient, source: random.Random, count: int) -> None:
    """So many requests, each cancelled after 0 to 20 tokens. Their prompts are few: a cache of prompts is no leak."""
    numbers = iter(range(count))
    fixed = random.Random("prompts")
    prompts = [fixed.choices(range(16, 1000), k=length) for length in range(1, 65)]

    async def worker() -> None:
        for _ in numbers:
            prompt = source.choice(prompts)
            call = client.call(prompt, 200)
            wanted, seen = source.randint(0, _CANCELLED_AT_MOST), 0
            if wanted:
                async for message in call:
                    seen += len(message.chunk.token_ids)
                    if seen >= wanted:
                        break
            call.cancel()

    async with asyncio.TaskGroup() as group:
        for _ in range(ROWS):
            group.create_task(worker())


async def _left(client: GrpcClient, seconds: float = 5.0) -> int:
    """Requests that the server still knows of, after some seconds at most."""
    end = time.monotonic() + seconds
    while True:
        found = len((await client.stub.ListRequests(inference_pb2.ListRequestsRequest())).requests)
        if not found or time.monotonic() > end:
            return found
        await asyncio.sleep(0.02)


async def _rows_at_once(client: GrpcClient, source: random.Random) -> int:
    """How many requests decode at the same time when as many as there are rows are sent."""
    lives = [Live(client, source.choices(range(16, 1000), k=8), _ENDLESS, ignore_eos=True) for _ in range(ROWS)]
    await asyncio.sleep(1.0)
    found = sum(bool(each.stream.arrivals) and each.running for each in lives)
    for each in lives:
        await each.end()
    return found


def _memory(server: Ours) -> float:
    """Resident bytes of front and engine."""
    return float(sum(each.memory_info().rss for each in server.process.tree()))
