"""What a window costs one whole server, as CPU time a token and tokens a second. No Kubernetes here.

A server of this tree, started by hand, with one thread, so that its CPU time is work and no waiting for other threads.
Two clients get one answer after the other. A round is slices of all kinds there and back (A B C C B A), so that what
drifts evenly costs all kinds the same; ratios are made within a round. Merging a window's trace is no part of it: it is
a process of its own of the lowest priority, and the next slice begins after its end.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from bench.runtime_options.engine_cost import NONE, spread
from bench.runtime_options.streams import PodLoad
from bench.serving.contestants import Ours, ours
from genai_protocol.v1 import control_pb2, control_pb2_grpc
from support.engines import HELLO_MODEL

# More tokens than an answer has: a window that is open and captures nothing.
KINDS = {NONE: "", "no run": "1000000", "1 in 100": "every 100"}
_LANES, _ANSWER_TOKENS = 2, 200
_MOST_RUNS, _MOST_SECONDS = 100_000, 600


@dataclass(frozen=True)
class Slice:
    """One stretch of time under load; CPU time of both processes of the server, in nanoseconds."""

    round: int
    kind: str
    seconds: float
    tokens: int
    front_cpu_ns: int
    engine_cpu_ns: int
    captured_runs: int

    @property
    def cpu_ns(self) -> int:
        return self.front_cpu_ns + self.engine_cpu_ns


async def server_cost(rounds: int, seconds: float) -> dict[str, Any]:
    """The slices, and for each kind of window the percent of a round that it cost: median and quartiles.

    `cpu_percent` is more CPU time a token, `rate_percent` fewer tokens a second.
    """
    with ours("runtime-options-cost", HELLO_MODEL, threads=1) as server:
        slices = await _slices(server, rounds, seconds)
    return {
        "cpu_percent": {kind: spread(cpu_costs(slices, kind)) for kind in KINDS if kind != NONE},
        "rate_percent": {kind: spread(rate_costs(slices, kind)) for kind in KINDS if kind != NONE},
        "slices": [asdict(each) for each in slices],
    }


def cpu_costs(slices: Sequence[Slice], kind: str) -> list[float]:
    """Of each round: how much more CPU time a token took than without a window, in percent."""
    return [
        (_sum(within, "cpu_ns") / _sum(within, "tokens")) / (_sum(without, "cpu_ns") / _sum(without, "tokens")) * 100
        - 100
        for without, within in _rounds(slices, kind)
    ]


def rate_costs(slices: Sequence[Slice], kind: str) -> list[float]:
    """Of each round: how many fewer tokens a second came than without a window, in percent."""
    return [
        100
        - (_sum(within, "tokens") / _sum(within, "seconds"))
        / (_sum(without, "tokens") / _sum(without, "seconds"))
        * 100
        for without, within in _rounds(slices, kind)
    ]


def _rounds(slices: Sequence[Slice], kind: str) -> list[tuple[list[Slice], list[Slice]]]:
    """(slices without a window, slices of this kind) of each round."""
    numbers = sorted({each.round for each in slices})
    return [
        (
            [each for each in slices if (each.round, each.kind) == (number, NONE)],
            [each for each in slices if (each.round, each.kind) == (number, kind)],
        )
        for number in numbers
    ]


def _sum(slices: Sequence[Slice], field: str) -> float:
    return float(sum(getattr(each, field) for each in slices))


async def _slices(server: Ours, rounds: int, seconds: float) -> list[Slice]:
    load = PodLoad(server.name, server.grpc_address, answer_tokens=_ANSWER_TOKENS)
    found = []
    async with grpc.aio.insecure_channel(f"unix:{server.control_socket}") as channel:
        control = control_pb2_grpc.ControlServiceStub(channel)
        await load.start(_LANES)
        try:
            await load.served()
            for number in range(rounds):
                for place, kind in enumerate([*KINDS, *reversed(KINDS)]):
                    found.append(await _slice(server, load, control, (number, place, kind), seconds))
        finally:
            await load.stop()
    return found


async def _slice(server: Ours, load: PodLoad, control: Any, what: tuple[int, int, str], seconds: float) -> Slice:
    number, place, kind = what
    async with _window(control, f"cost-{number}-{place}", KINDS[kind]) as opened:
        await load.served()
        before = time.perf_counter(), load.tokens, _cpu_ns(server.front.pid), _cpu_ns(server.engine.pid)
        await asyncio.sleep(seconds)
        await load.served()
        after = time.perf_counter(), load.tokens, _cpu_ns(server.front.pid), _cpu_ns(server.engine.pid)
    taken, tokens, front, engine = (now - then for now, then in zip(after, before, strict=True))
    return Slice(number, kind, taken, int(tokens), int(front), int(engine), sum(each.runs for each in opened))


@asynccontextmanager
async def _window(control: Any, window_id: str, runs: str) -> AsyncIterator[list[Any]]:
    """A window while the block runs, which then is in the list; its trace is merged before the next slice begins."""
    ended: list[Any] = []
    if not runs:
        yield ended
        return
    spec = control_pb2.WindowSpec(label="cost", runs=runs, max_runs=_MOST_RUNS, max_seconds=_MOST_SECONDS)
    await control.OpenWindow(control_pb2.OpenWindowRequest(window_id=window_id, spec=spec))
    yield ended
    profile = await control.CloseWindow(control_pb2.CloseWindowRequest(window_id=window_id))
    while profile.state in (control_pb2.PROFILE_STATE_OPEN, control_pb2.PROFILE_STATE_MERGING):
        await asyncio.sleep(0.05)
        profile = await control.GetWindow(control_pb2.GetWindowRequest(window_id=window_id))
    ended.append(profile)


def _cpu_ns(process: int) -> int:
    """CPU time of all threads of a process, to the nanosecond (/proc counts in hundredths of a second).

    The clock of another process is named by its id as Linux encodes it: inverted, three bits up, 2 for scheduled time.
    """
    return time.clock_gettime_ns((~process << 3) | 2)
