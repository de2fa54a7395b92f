"""Sections that measure speed: closed loops, decoding of full batches, long contexts, and arrivals by chance.

One prompt is never used twice: no cache of prompts may help anybody. Within a round all contestants get the same ones.
"""

import random
from collections.abc import Sequence

from bench.serving.arena import ENGINE, LLAMA, OURS, Arena
from bench.serving.contestants import Contestant, Ours
from bench.serving.loads import Planned, closed, poisson, random_prompt
from bench.serving.streams import Stream, decode_rate, first_token_ms, summary, whole_rate

SHORT, LONG, NEW = 32, 1000, 96
_POISSON_REQUESTS, _POISSON_NEW, _POISSON_PROMPTS = 40, 64, (32, 400)
_LEAST_REQUESTS = 8  # of a closed loop
_MILLION = 1e6


async def closed_loops(arena: Arena, number: int, sizes: Sequence[int]) -> None:
    """End to end: N clients, each with one request after the other; what a client's tokens cost the front process."""
    for size in sizes:
        plan = closed(_seed(number, "closed", size), size, max(3, _LEAST_REQUESTS // size), SHORT, NEW)
        for contestant in _rotated(arena.everybody(), number):
            with arena.noting(f"closed loop of {contestant.name} at N={size}"), arena.turn(contestant):
                await _warm(contestant, number, size)
                before = _front_seconds(contestant)
                found = await contestant.play(plan)
                tokens, seconds = sum(each.tokens for each in found), _front_seconds(contestant) - before
                front = {"front_us_per_token": seconds / tokens * _MILLION} if isinstance(contestant, Ours) else {}
                arena.add(number, "closed", contestant.name, n=size, tokens=tokens, **summary(found), **front)


async def decoding(arena: Arena, number: int, sizes: Sequence[int], repeats: int) -> None:
    """All N rows decode together: ours over gRPC against one `og.Generator` with a batch of N."""
    for size in sizes:
        for repeat in range(repeats):
            seed = _seed(number, "decode", size, repeat)
            for ours_first in (number + repeat) % 2, (number + repeat + 1) % 2:
                name = OURS if ours_first else arena.generator.name
                with arena.noting(f"decoding of {name} at N={size}"):
                    found = await _burst(arena, seed, size, SHORT, of_ours=bool(ours_first))
                    rate = decode_rate(found)
                    arena.add(number, "decode", name, n=size, decode_tokens_per_second=rate, repeat=repeat)


async def long_contexts(arena: Arena, number: int, sizes: Sequence[int]) -> None:
    """N prompts of 1000 tokens at once."""
    for size in sizes:
        seed = _seed(number, "long", size)
        plan = closed(seed, size, 1, LONG, NEW)
        for contestant in _rotated(arena.everybody(), number):
            if contestant.name not in (OURS, LLAMA, ENGINE):
                continue
            with arena.noting(f"long contexts of {contestant.name} at N={size}"), arena.turn(contestant):
                await _warm(contestant, number, size)
                found = await contestant.play(plan)
                _add_long(arena, number, contestant.name, size, found)
        with arena.noting(f"long contexts of {arena.generator.name} at N={size}"):
            found = await _burst(arena, seed, size, LONG, of_ours=False)
            _add_long(arena, number, arena.generator.name, size, found)


async def arrivals(arena: Arena, number: int, rates: Sequence[float]) -> None:
    """Poisson arrivals: the same prompts at the same moments for everybody."""
    for rate in rates:
        plan = poisson(_seed(number, "poisson", int(rate)), rate, _POISSON_REQUESTS, _POISSON_PROMPTS, _POISSON_NEW)
        for contestant in _rotated(arena.everybody(), number):
            if contestant.name not in (OURS, LLAMA, ENGINE):
                continue
            with arena.noting(f"arrivals of {contestant.name} at {rate}/s"), arena.turn(contestant):
                await _warm(contestant, number, int(rate))
                found = await contestant.play(plan)
                arena.add(number, "poisson", contestant.name, rate=rate, **summary(found))


async def _burst(arena: Arena, seed: int, size: int, prompt: int, *, of_ours: bool) -> list[Stream]:
    plan = closed(seed, size, 1, prompt, NEW)
    if of_ours:
        with arena.turn(arena.ours):
            await _warm(arena.ours, seed, size)
            return await arena.ours.play(plan)
    with arena.turn(arena.generator):
        source = random.Random(f"warm {seed}")
        arena.generator.generate([random_prompt(source, SHORT) for _ in range(size)], 4)
        return arena.generator.generate([each.prompt for each in plan], NEW)


def _add_long(arena: Arena, number: int, name: str, size: int, found: list[Stream]) -> None:
    figures = {
        "tokens_per_second": whole_rate(found),
        "first_token_p50_ms": first_token_ms(found),
        "decode_tokens_per_second": decode_rate(found),
    }
    arena.add(number, "long", name, n=size, **figures)


async def _warm(contestant: Contestant, number: int, size: int) -> None:
    """Memory and caches are cold after a pause."""
    source = random.Random(f"{contestant.name} {number} {size}")
    await contestant.play([Planned(random_prompt(source, SHORT), 16)])


def _front_seconds(contestant: Contestant) -> float:
    """CPU time of the front process so far; 0 for those without one."""
    return sum(contestant.front.cpu_times()[:2]) if isinstance(contestant, Ours) else 0.0


def _rotated(every: list[Contestant], number: int) -> list[Contestant]:
    """Nobody always comes after the same neighbour."""
    start = number % len(every)
    return every[start:] + every[:start]


def _seed(number: int, section: str, *more: int) -> int:
    return random.Random(f"{number} {section} {more}").getrandbits(32)
