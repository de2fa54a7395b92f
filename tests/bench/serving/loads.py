"""Which requests come when: closed loops, bursts and Poisson arrivals, the same for every server that is measured.

A plan is data; `play` sends one through a client. The raw engine plays plans by itself, in its own process.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from bench.serving.shape import MEDIUM, SPECIAL
from bench.serving.streams import Stream


@dataclass(frozen=True)
class Planned:
    """A request: sent `at` seconds after the start, or as soon as request number `after` of the plan has ended."""

    prompt: list[int]
    count: int
    at: float = 0.0
    after: int = -1


class Client(Protocol):
    """Something that answers."""

    async def stream(self, prompt: list[int], count: int) -> Stream:
        """Exactly `count` new tokens, or an error."""
        ...


def random_prompt(source: random.Random, length: int) -> list[int]:
    """Any tokens but the special ones."""
    return source.choices(range(len(SPECIAL), MEDIUM.vocabulary), k=length)


def closed(seed: int, workers: int, each: int, prompt: int, count: int) -> list[Planned]:
    """`workers` clients that send `each` requests one after the other."""
    source = random.Random(seed)
    return [
        Planned(random_prompt(source, prompt), count, after=number - workers if number >= workers else -1)
        for number in range(workers * each)
    ]


def poisson(seed: int, rate: float, requests: int, prompts: tuple[int, int], count: int) -> list[Planned]:
    """`rate` requests a second on average, whatever the server does; prompts of any length between the two."""
    source, at, plan = random.Random(seed), 0.0, list[Planned]()
    for _ in range(requests):
        at += source.expovariate(rate)
        plan.append(Planned(random_prompt(source, source.randint(*prompts)), count, at=at))
    return plan


async def play(client: Client, plan: Sequence[Planned]) -> list[Stream]:
    """Sends every request when it is due; their streams in the plan's order."""
    began = time.perf_counter()
    ended = [asyncio.Event() for _ in plan]

    async def one(number: int, planned: Planned) -> Stream:
        if planned.after >= 0:
            await ended[planned.after].wait()
        await asyncio.sleep(max(0.0, began + planned.at - time.perf_counter()))
        stream = await client.stream(planned.prompt, planned.count)
        ended[number].set()
        return stream

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, planned)) for number, planned in enumerate(plan)]
    return [task.result() for task in tasks]


def to_json(plan: Sequence[Planned]) -> list[dict[str, Any]]:
    return [asdict(each) for each in plan]


def from_json(found: Sequence[dict[str, Any]]) -> list[Planned]:
    return [Planned(**each) for each in found]
