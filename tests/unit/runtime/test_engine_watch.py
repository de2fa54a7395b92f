"""What counts as a hanging engine, and what does not."""

import asyncio

import pytest

from genai_runtime.engine.protocol import EngineStats
from genai_runtime.engine.watch import EndingRequests, watch
from genai_runtime.errors import EngineFailure

STATS = EngineStats(1, 2, 3)


class Engine:
    """Answers `answers` pings, then behaves as told."""

    def __init__(self, answers: int, then: str = "gone") -> None:
        self.answers = answers
        self.then = then
        self.heard: list[EngineStats] = []

    async def ask(self) -> EngineStats:
        if self.answers:
            self.answers -= 1
            return STATS
        if self.then == "hangs":
            await asyncio.Event().wait()
        raise EngineFailure("gone")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_runtime.engine.watch._POLL_SECONDS", 0.001)


async def test_counts_are_told_until_the_engine_is_gone() -> None:
    engine = Engine(3)
    assert await watch(engine.ask, EndingRequests(), 60.0, engine.heard.append) == ""
    assert engine.heard == [STATS] * 3


async def test_an_engine_that_answers_nothing_hangs() -> None:
    engine = Engine(1, "hangs")
    assert "answered nothing for 0.02 s" in await watch(engine.ask, EndingRequests(), 0.02, engine.heard.append)


async def test_an_engine_that_ends_no_request_hangs() -> None:
    ending = EndingRequests()
    ending.told("r")
    ending.told("ended")
    ending.ended("ended")
    engine = Engine(10_000)
    assert "did not end a request" in await watch(engine.ask, ending, 0.02, engine.heard.append)


async def test_a_long_silence_of_a_running_request_is_no_sign() -> None:
    ending = EndingRequests()
    engine = Engine(20)
    assert await watch(engine.ask, ending, 0.005, engine.heard.append) == ""
    assert len(engine.heard) == 20


async def test_without_a_limit_nothing_hangs() -> None:
    ending = EndingRequests()
    ending.told("r")
    engine = Engine(20)
    assert await watch(engine.ask, ending, 0.0, engine.heard.append) == ""


async def test_an_engine_that_is_gone_owes_no_ends() -> None:
    ending = EndingRequests()
    ending.told("r")
    assert ending.longest() >= 0
    ending.clear()
    assert ending.longest() == 0
