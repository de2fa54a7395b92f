"""When a fetch tries again, and when it gives up."""

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.errors import Passing
from genai_runtime.fetch.patience import Patience


class World:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, seconds: float) -> Patience:
        return Patience("s3://bucket/a", seconds, self.sleep, lambda: self.now)


def test_pauses_grow_until_there_is_no_time_left() -> None:
    world = World()
    patience = world.patience(100.0)

    def fail() -> None:
        raise Passing("the server answers 503")

    with pytest.raises(ModelUnusable) as caught:
        patience.until_done(fail)
    assert caught.value.reason == "SourceUnavailable"
    assert "s3://bucket/a: the server answers 503" in caught.value.message
    assert 0.25 <= world.slept[0] <= 0.5
    assert max(world.slept) <= 30.0
    assert 60.0 < world.now <= 100.0


def test_whatever_comes_gives_all_patience_back() -> None:
    world = World()
    patience = world.patience(2.0)
    for _ in range(20):
        patience.wait(Passing("broken"))
        patience.moving()
    assert len(world.slept) == 20
    assert max(world.slept) <= 0.5


def test_a_server_may_ask_for_time_but_not_for_hours() -> None:
    world = World()
    world.patience(100.0).wait(Passing("the server answers 429", wait=7.0))
    world.patience(100.0).wait(Passing("the server answers 429", wait=7000.0))
    assert world.slept == [7.0, 30.0]
